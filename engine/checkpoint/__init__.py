"""What a checkpoint folder says: sizes, modules, tensors."""
