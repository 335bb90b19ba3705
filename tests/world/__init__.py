"""The world as it is: other people's files, trees, names and habits."""
