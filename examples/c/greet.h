#include <stddef.h>

/* Writes a greeting into `out`, which has room for `size` bytes; returns its length. */
int greet(char *out, size_t size, const char *name);
