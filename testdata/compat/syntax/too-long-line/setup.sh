printf 'LABEL a=%066000d\n' 0 >> Dockerfile
