printf 'LABEL\fa=b\n\v LABEL c=d\n' >> Dockerfile
