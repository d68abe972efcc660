printf 'FROM scratch\r\nLABEL a=b \\\r\n  c=d\r\n\r\n# comment\r\nENV X=y\r\nCMD ["a"]\r\n' > Dockerfile
