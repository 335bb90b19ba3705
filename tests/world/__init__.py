"""Other people's files, trees, configs and machines: what they do to the project, and what is right."""
