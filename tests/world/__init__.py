"""What people really have and do: files, folders, machines."""
