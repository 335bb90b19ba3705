"""Published weights and files of tensors."""
