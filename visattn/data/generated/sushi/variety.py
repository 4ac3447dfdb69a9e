"""How much scenes vary: every range that decides how hard the data are, in one place.

The ranges make kinds overlap in mean colour: pale buri, ika and ebi; deep salmon, maguro and
ikura. Only their structure (dark edge, chevrons, bands, scores, spheres) tells them apart for sure,
and the sushi is a small part of the picture. A network that may read the plate instead will.
"""

# Light and camera.
LIGHT_ELEVATION_DEGREES = (38.0, 66.0)
EXPOSURE = 0.18  # standard deviation of the logarithm, clipped at two of them
WARMTH = 0.11  # standard deviation of the logarithm of red, and of the inverse of blue
TINT = 0.03  # the same for green
SHADOW_SOFTNESS = (0.7, 1.5)
SENSOR_NOISE = (0.006, 0.02)  # standard deviation, drawn for each picture

# The sushi's place and shape, in units of the picture's side.
HALF_LENGTH = (0.165, 0.225)
PLACEMENT_RADIUS = 0.15  # centre of the sushi, uniform in a disc around the picture's centre
CURVATURE = 0.16  # bend of the long axis, uniform in plus or minus this
EDGE_NOISE = 0.035  # wobble of the outline, in half-lengths
WIDTH_RATIO = (0.92, 1.10)  # factor on the sushi's width
STRETCH = (0.92, 1.08)  # factor on the length of the slice against the rice

# The sushi's colours.
COLOUR_SPREAD = 0.022  # standard deviation on each display channel after the tone is drawn
TONE_CONCENTRATION = 0.9  # of the Dirichlet weights over a kind's tones: below 1 prefers extremes
MOTTLE = 0.05  # uneven colour within one piece
DRYNESS = (0.35, 1.0)  # factor on gloss: an hour on the counter to fresh

# Plates, in units of the picture's side.
PLATE_SCALE = (0.94, 1.10)
PLATE_OFFSET = 0.05  # centre of the plate, uniform in a square
TABLE_TURN_DEGREES = 180.0
GARNISH_COUNTS = (0.20, 0.35, 0.30, 0.15)  # share of backgrounds with 0, 1, 2, 3 pieces
GARNISH_DISTANCE = (0.22, 0.36)  # from the picture's centre
GARNISH_SCALE = (0.8, 1.15)
GARNISH_COLOUR_SPREAD = 0.03
CHOPSTICKS = 0.35  # share of backgrounds with a pair of chopsticks near the edge
STYLE_COLOUR_SPREAD = 0.018  # standard deviation on each display channel

# Habits that blur the kinds.
TAMAGO_BELT = 0.8  # share of tamago with a belt of nori
IKA_BELT = 0.25  # share of ika with a belt of nori, as tamago has
ROLL_COUNTS = (0.25, 0.60, 0.15)  # share of one, two and three pieces of kappa maki
