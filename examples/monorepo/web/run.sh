# Stands for the tests of this package.
echo "web: all is well"
