"""How kernels become machine code: vector types, instructions, targets, compilation."""
