printf '\357\273\277a\r\n\r\n# c\r\nb\r\n' > .dockerignore
