"""What calls the machine code: the encoder object, its threads and buffers."""
