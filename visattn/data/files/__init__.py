"""Files of a data set and what is in them: pictures, masks, the table beside them."""
