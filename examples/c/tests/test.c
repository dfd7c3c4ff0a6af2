#include "../greet.h"

#include <stdio.h>
#include <string.h>

int main(void)
{
	char text[64];

	if (greet(text, sizeof text, "you") != 10 || strcmp(text, "hello, you") != 0) {
		fprintf(stderr, "expected \"hello, you\", got \"%s\"\n", text);
		return 1;
	}
	return 0;
}
