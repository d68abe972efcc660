printf 'LABEL a=\377\376b\n' >> Dockerfile
