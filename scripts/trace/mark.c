// SPDX-License-Identifier: GPL-2.0
/* mark ID [A [B]]: puts a marker into the store log of the guest that it runs in. */
#include <stdio.h>
#include <stdlib.h>
#include "mark.h"

int main(int argc, char **argv)
{
	unsigned long v[3] = { 0 };

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: mark ID [A [B]]\n");
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		char *end;

		v[i - 1] = strtoul(argv[i], &end, 0);
		if (*end || end == argv[i]) {
			fprintf(stderr, "mark: %s is not a number\n", argv[i]);
			return 2;
		}
	}
	mark(v[0], v[1], v[2]);
	return 0;
}
