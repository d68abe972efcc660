printf 'LABEL a="\001\t\033[0m"\n' >> Dockerfile
