"""How anything is drawn: shapes, noise, shading, layers on a canvas."""
