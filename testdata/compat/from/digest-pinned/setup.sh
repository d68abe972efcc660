printf 'FROM @BASE@:latest\nLABEL a=b\n' > Dockerfile
