/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes the manual page and bash's completion out of the command table, while reuseportd is built:
 * what is in none of them can't be out of date. Reads a frame from standard input, and puts the
 * tables in place of its line %TABLES%. Usage: generate man|bash <FRAME >RESULT
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/command.h"

#define TABLES "%TABLES%"

/* --- the manual page, man(7) */

/* Text for the middle of a line. `x` becomes bold; what begins with a dash is to be typed as it is,
 * and keeps its dashes. */
static void roff_text(const char *text)
{
	bool bold = false, literal = false;
	char before = ' ';

	for (const char *c = text; *c; before = *c++) {
		if (strchr(" \n([\"'`|", before))
			literal = *c == '-';
		switch (*c) {
		case '`':
			bold = !bold;
			fputs(bold ? "\\fB" : "\\fR", stdout);
			break;
		case '-':
			fputs(bold || literal ? "\\-" : "-", stdout);
			break;
		case '\\':
			fputs("\\e", stdout);
			break;
		case '\'':
			fputs("\\(aq", stdout);
			break;
		case '"':
			fputs("\\(dq", stdout);
			break;
		case '~':
			fputs("\\(ti", stdout);
			break;
		case '^':
			fputs("\\(ha", stdout);
			break;
		default:
			putchar(*c);
		}
	}
}

/* A line of text, which is no request whatever it begins with. */
static void roff_line(const char *text)
{
	fputs("\\&", stdout);
	roff_text(text);
	putchar('\n');
}

static bool has_short(const struct argp_option *option)
{
	return option->key < 256 && isalnum(option->key);
}

static void roff_option(const struct argp_option *option)
{
	puts(".TP");
	if (has_short(option))
		printf("\\fB\\-%c\\fR, ", option->key);
	fputs("\\fB\\-\\-", stdout);
	for (const char *c = option->name; *c; c++)
		printf(*c == '-' ? "\\-" : "%c", *c);
	fputs("\\fR", stdout);
	if (option->arg) {
		fputs("=\\fI", stdout);
		roff_text(option->arg);
		fputs("\\fR", stdout);
	}
	putchar('\n');
	roff_line(option->doc);
}

/* As --help has it: several ways to call it are lines of @args. */
static void roff_usage(const struct command *command)
{
	const char *line = command->args;

	do {
		const size_t n = strcspn(line, "\n");
		_cleanup_free_ char *copy = strndup(line, n);

		if (!copy)
			abort();
		printf("%s\\fBreuseportd %s\\fR ", line == command->args ? "" : ".br\n",
		       command->name);
		roff_text(copy);
		putchar('\n');
		line += n + (line[n] == '\n');
	} while (*line);
}

static void man_tables(void)
{
	for (const struct command *c = commands; c->name; c++) {
		printf(".SS \"%s: ", c->name);
		roff_text(c->summary);
		puts("\"");
		roff_usage(c);
		puts(".PP");
		roff_line(c->help);
		for (const struct argp_option *o = command_options(c); o->name; o++)
			roff_option(o);
	}
}

/* --- bash */

/* What an option's value can be: words, or ":" and what the frame's _reuseportd_words knows. */
struct values {
	const char *option, *argument; /* NULL: whichever; the first one that fits counts */
	const char *words;
};

static const struct values known[] = {
        {"service", NULL, ":services"},
        {"ready", NULL, "listen notify message tcp http: exec: alive:"},
        {NULL, "FILE", ":files"},
        {NULL, "FOLDER", ":folders"},
        {NULL, "USER", ":users"},
        {NULL, "GROUP", ":groups"},
        {NULL, "SIGNAL", ":signals"},
        {NULL, "POLICY", "round-robin sticky"},
        {NULL, "N|max", "max"},
        {NULL, "N|any", "any"},
        {NULL, "TIMES", "@hourly @daily @weekly @monthly"},
};

static const char *values_of(const struct argp_option *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if ((!known[i].option || !strcmp(known[i].option, option->name)) &&
		    (!known[i].argument || !strcmp(known[i].argument, option->arg)))
			return known[i].words;
	return "";
}

static void bash_words(const struct command *command)
{
	if (strstr(command->args, "FILE"))
		fputs(":files ", stdout);
	if (strstr(command->args, "[SERVICE]"))
		fputs(":services ", stdout);
}

static void bash_tables(void)
{
	puts("_reuseportd_commands() {");
	printf("\techo \"");
	for (const struct command *c = commands; c->name; c++)
		printf("%s ", c->name);
	puts("--help --version\"\n}\n\n_reuseportd_options() {\n\tcase $1 in");
	for (const struct command *c = commands; c->name; c++) {
		printf("\t%s) echo \"", c->name);
		for (const struct argp_option *o = command_options(c); o->name; o++)
			printf("--%s ", o->name);
		puts("--help\" ;;");
	}
	puts("\tesac\n}\n\n# Of an option that has a value, what it can be; fails for others.\n"
	     "_reuseportd_values() {\n\tcase $1$2 in");
	for (const struct command *c = commands; c->name; c++)
		for (const struct argp_option *o = command_options(c); o->name; o++) {
			if (!o->arg)
				continue;
			printf("\t%s--%s", c->name, o->name);
			if (has_short(o))
				printf(" | %s-%c", c->name, o->key);
			printf(") echo \"%s\" ;;\n", values_of(o));
		}
	puts("\t*) return 1 ;;\n\tesac\n}\n\n_reuseportd_arguments() {\n\tcase $1 in");
	for (const struct command *c = commands; c->name; c++) {
		printf("\t%s) echo \"", c->name);
		bash_words(c);
		puts("\" ;;");
	}
	puts("\tesac\n}\n\n# Whether a command with its own arguments is behind \"--\".\n"
	     "_reuseportd_runs() {\n\tcase $1 in");
	for (const struct command *c = commands; c->name; c++)
		if (c->takes_command)
			printf("\t%s) return 0 ;;\n", c->name);
	puts("\tesac\n\treturn 1\n}");
}

int main(int argc, char **argv)
{
	_cleanup_free_ char *line = NULL;
	bool found = false;
	size_t room = 0;

	if (argc != 2 || (strcmp(argv[1], "man") != 0 && strcmp(argv[1], "bash") != 0)) {
		fprintf(stderr, "Usage: generate man|bash <FRAME >RESULT\n");
		return EXIT_USAGE;
	}
	while (getline(&line, &room, stdin) > 0) {
		if (strcmp(line, TABLES "\n") != 0) {
			fputs(line, stdout);
			continue;
		}
		found = true;
		if (!strcmp(argv[1], "man"))
			man_tables();
		else
			bash_tables();
	}
	if (!found)
		fprintf(stderr, "generate: the frame has no line %s\n", TABLES);
	return found && fflush(stdout) == 0 && !ferror(stdout) ? EXIT_OK : EXIT_REFUSED;
}
