"""Operations with backward passes of their own, for training on a CPU: in C, or else in torch."""
