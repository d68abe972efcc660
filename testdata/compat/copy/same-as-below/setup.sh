touch -d @1500000000.25 a d/x d/e/y; mkdir -m 711 d/e/z
