printf '\357\273\277FROM scratch\nLABEL a=b\n' > Dockerfile
