/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/problems.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"

#define LAST_LINE_MAX 96 /* the line with the number of errors that did not fit */

bool problems_is_full(const struct problems *problems)
{
	return problems->n > PROBLEMS_MAX;
}

__attribute__((format(printf, 4, 0))) static void problems_append(struct problems *problems,
                                                                  unsigned int line, bool warning,
                                                                  const char *format, va_list args)
{
	struct problem *list;

	problems->n_errors += !warning;
	if (problems_is_full(problems))
		return;
	list = realloc(problems->list, (problems->n + 1) * sizeof(*problems->list));
	if (!list)
		return;
	problems->list = list;
	list[problems->n] = (struct problem){.line = line, .warning = warning};
	if (problems->n == PROBLEMS_MAX)
		list[problems->n].text = strdup("further problems are not listed");
	else if (vasprintf(&list[problems->n].text, format, args) < 0)
		list[problems->n].text = NULL;
	problems->n++;
}

void problems_add(struct problems *problems, unsigned int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	problems_append(problems, line, false, format, args);
	va_end(args);
}

void problems_warn(struct problems *problems, unsigned int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	problems_append(problems, line, true, format, args);
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

static void problems_format_line(const struct problems *problems, const struct problem *p,
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
		problems_format_line(problems, p, text, sizeof(text));
		escape_print_line(out, "%s", text);
	}
}

int problems_error(const struct problems *problems, struct error *err)
{
	char text[ERROR_TEXT_MAX] = "", line[ERROR_TEXT_MAX];
	size_t left = problems->n_errors, length = 0;

	if (!left)
		return 0;
	if (left > 1)
		length = snprintf(text, sizeof(text), "%zu errors\n", left);
	for (size_t i = 0; i < problems->n; i++) {
		if (problems->list[i].warning)
			continue;
		problems_format_line(problems, &problems->list[i], line, sizeof(line));
		if (length + strlen(line) + LAST_LINE_MAX > sizeof(text))
			break;
		left--;
		length += snprintf(text + length, sizeof(text) - length, "%s%s", line,
		                   left ? "\n" : "");
	}
	if (left)
		snprintf(text + length, sizeof(text) - length,
		         "and %zu more; `reuseportd check` lists all of them", left);
	return error_usage(err, "%s", text);
}

void problems_free(struct problems *problems)
{
	for (size_t i = 0; i < problems->n; i++)
		free(problems->list[i].text);
	free(problems->list);
	*problems = (struct problems){};
}
