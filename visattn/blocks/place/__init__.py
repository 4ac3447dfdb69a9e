"""Gates for places, the same for the channels of a group or of all."""
