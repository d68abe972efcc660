printf 'LABEL a=%060000d\n' 0 >> Dockerfile
