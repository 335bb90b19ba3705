"""Our numbers against those of the field's own tools."""
