"""What the 68 iBUG points of a face mean, by their numbers: right and left are those of the person shown.

Sagonas et al. 2013 (300 Faces in-the-Wild), figure 1; the same order as dlib's and face-alignment's.
"""

from __future__ import annotations

N_POINTS = 68
JAW = slice(0, 17)  # from the image's left to its right
BROWS = slice(17, 27)
NOSE_RIDGE = range(27, 31)  # from between the eyes to the tip
NOSTRILS = slice(31, 36)
NOSE_BASE = 33
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
EYES = slice(36, 48)
EYE_CORNERS = (36, 39, 42, 45)  # outer and inner of the right eye, inner and outer of the left one
ALL_BUT_MOUTH = slice(0, 48)
LIPS = slice(48, 68)
UPPER_INNER_LIP, LOWER_INNER_LIP = 62, 66  # at their middle
