"""What the 68 iBUG points of a face mean, by their numbers: right and left are those of the person shown.

Sagonas et al. 2013 (300 Faces in-the-Wild), figure 1; the same order as dlib's and face-alignment's. 0 to 16 are the
jaw from the image's left to its right, 17 to 26 the brows, 31 to 35 the nostrils.
"""

from __future__ import annotations

N_POINTS = 68
NOSE_RIDGE = range(27, 31)  # from between the eyes to the tip
NOSE_BASE = 33
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
EYES = slice(36, 48)
EYE_CORNERS = (36, 39, 42, 45)  # outer and inner of the right eye, inner and outer of the left one
ALL_BUT_MOUTH = slice(0, 48)
LIPS = slice(48, 68)
UPPER_INNER_LIP, LOWER_INNER_LIP = 62, 66  # at their middle
