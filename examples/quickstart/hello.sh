#!/bin/sh
cat /etc/greeting.txt
echo "I am $(id -un) on $(uname -s), and this is build @BUILDS@ of me."
