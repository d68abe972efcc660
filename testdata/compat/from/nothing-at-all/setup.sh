printf '# only a comment\n\n' > Dockerfile
