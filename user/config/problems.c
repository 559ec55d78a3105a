/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/problems.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* For the line that says how many didn't fit. */
#define ROOM_FOR_MORE 96

__attribute__((format(printf, 4, 0))) static void
add(struct problems *problems, unsigned int line, bool warning, const char *format, va_list args)
{
	struct problem *list = realloc(problems->list, (problems->n + 1) * sizeof(*problems->list));

	problems->n_errors += !warning;
	if (!list)
		return;
	problems->list = list;
	list[problems->n] = (struct problem){.line = line, .warning = warning};
	if (vasprintf(&list[problems->n].text, format, args) < 0)
		list[problems->n].text = NULL;
	problems->n++;
}

void problem_add(struct problems *problems, unsigned int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(problems, line, false, format, args);
	va_end(args);
}

void problem_warn(struct problems *problems, unsigned int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(problems, line, true, format, args);
	va_end(args);
}

void problems_sort(struct problems *problems)
{
	for (size_t i = 1; i < problems->n; i++) {
		const struct problem p = problems->list[i];
		size_t at = i;

		for (; at > 0 && problems->list[at - 1].line > p.line; at--)
			problems->list[at] = problems->list[at - 1];
		problems->list[at] = p;
	}
}

/* As one line of text. */
static void problems_format_problem(const struct problems *problems, const struct problem *p,
                                    char *buf, size_t size)
{
	char line[16] = "";

	if (p->line)
		snprintf(line, sizeof(line), ":%u", p->line);
	snprintf(buf, size, "%s%s%s%s%s", problems->file ? problems->file : "", line,
	         problems->file ? ": " : "", p->warning ? "warning: " : "",
	         p->text ? p->text : "out of memory");
}

void problems_print(FILE *out, const struct problems *problems, bool errors, bool warnings)
{
	char text[ERROR_TEXT_MAX];

	for (size_t i = 0; i < problems->n; i++) {
		const struct problem *p = &problems->list[i];

		if (p->warning ? !warnings : !errors)
			continue;
		problems_format_problem(problems, p, text, sizeof(text));
		fprintf(out, "%s\n", text);
	}
}

int problems_error(const struct problems *problems, struct error *err)
{
	size_t left = problems->n_errors;
	char text[ERROR_TEXT_MAX];

	if (!left)
		return 0;
	error_usage(err, "%s", "");
	if (left > 1)
		error_add(err, 0, "%zu errors\n", left);
	for (size_t i = 0; i < problems->n; i++) {
		if (problems->list[i].warning)
			continue;
		problems_format_problem(problems, &problems->list[i], text, sizeof(text));
		if (strlen(err->text) + strlen(text) + ROOM_FOR_MORE > sizeof(err->text))
			break;
		left--;
		error_add(err, 0, "%s%s", text, left ? "\n" : "");
	}
	if (left)
		error_add(err, 0, "and %zu more; `reuseportd check` lists them all", left);
	return -EINVAL;
}

void problems_free(struct problems *problems)
{
	for (size_t i = 0; i < problems->n; i++)
		free(problems->list[i].text);
	free(problems->list);
	*problems = (struct problems){};
}
