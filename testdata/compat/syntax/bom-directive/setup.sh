printf '\357\273\277# escape=`\nFROM scratch\nLABEL a=1 `\n c=d\n' > Dockerfile
