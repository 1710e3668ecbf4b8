"""What the layers of a network respond to: parts that are shared by the functions that look into layers."""
