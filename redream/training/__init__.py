"""What the training loop needs besides the paper's equations, one idea a file."""
