/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/wrap.h"

#include <stdbool.h>
#include <string.h>

#define WRAP_COLUMNS 80

void wrap_print(FILE *out, const char *text, int at, int indent)
{
	int column = at;
	bool begun = false;

	for (; *text; begun = true) {
		int word = strcspn(text, " ");

		if (begun && column + 1 + word > WRAP_COLUMNS) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (begun) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", word, text);
		column += word;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}
