printf '\357\273\277# escape=`\nFROM scratch\nLABEL a=`\n b c=d\n' > Dockerfile
