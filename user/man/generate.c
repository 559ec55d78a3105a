/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generates the manual page and the bash completion from the table of commands when reuseportd is
 * built. Reads a frame from standard input, and replaces its line %TABLES% with the generated part.
 * Usage: generate man|bash <FRAME >RESULT
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/command.h"

#define TABLES "%TABLES%"

/* --- the manual page, man(7) */

/* Text within a line. `x` becomes bold. A word that begins with a dash is typed literally and keeps
 * its dashes. */
static void generate_roff_text(const char *text)
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

/* A line of text; \& keeps its first character from being read as a request. */
static void generate_roff_line(const char *text)
{
	fputs("\\&", stdout);
	generate_roff_text(text);
	putchar('\n');
}

static void generate_man_option(const struct option_row *row)
{
	puts(".TP");
	if (row->letter)
		printf("\\fB\\-%c\\fR, ", row->letter);
	fputs("\\fB\\-\\-", stdout);
	for (const char *c = row->name; *c; c++)
		printf(*c == '-' ? "\\-" : "%c", *c);
	fputs("\\fR", stdout);
	if (row->argument) {
		fputs("=\\fI", stdout);
		generate_roff_text(row->argument);
		fputs("\\fR", stdout);
	}
	putchar('\n');
	generate_roff_line(row->help);
}

/* The usage lines, one for each line of @args. */
static void generate_man_usage(const struct command *command)
{
	const char *line = command->args;

	do {
		const size_t n = strcspn(line, "\n");
		_cleanup_free_ char *copy = strndup(line, n);

		if (!copy)
			abort();
		printf("%s\\fBreuseportd %s\\fR ", line == command->args ? "" : ".br\n",
		       command->name);
		generate_roff_text(copy);
		putchar('\n');
		line += n + (line[n] == '\n');
	} while (*line);
}

static void generate_man(void)
{
	const struct option_row *row;

	for (const struct command *c = commands; c->name; c++) {
		printf(".SS \"%s: ", c->name);
		generate_roff_text(c->summary);
		puts("\"");
		generate_man_usage(c);
		puts(".PP");
		generate_roff_line(c->help);
		for (size_t i = 0; (row = command_option(c, i)); i++)
			generate_man_option(row);
	}
}

/* --- bash */

/* The words that complete an option's value. ":KIND" is a kind that the frame's _reuseportd_words()
 * knows. The first entry that matches the option holds; NULL matches every option. */
struct values {
	const char *option, *argument;
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

static const char *generate_values_of(const struct option_row *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if ((!known[i].option || !strcmp(known[i].option, row->name)) &&
		    (!known[i].argument || !strcmp(known[i].argument, row->argument)))
			return known[i].words;
	return "";
}

static void generate_bash_arguments(const struct command *command)
{
	if (strstr(command->args, "FILE"))
		fputs(":files ", stdout);
	if (strstr(command->args, "[SERVICE]"))
		fputs(":services ", stdout);
}

/* _reuseportd_values COMMAND OPTION: prints the words that complete the option's value; fails if
 * the option has no value. */
static void generate_bash_values(void)
{
	const struct option_row *row;

	puts("_reuseportd_values() {\n\tcase $1$2 in");
	for (const struct command *c = commands; c->name; c++)
		for (size_t i = 0; (row = command_option(c, i)); i++) {
			if (!row->argument)
				continue;
			printf("\t%s--%s", c->name, row->name);
			if (row->letter)
				printf(" | %s-%c", c->name, row->letter);
			printf(") echo \"%s\" ;;\n", generate_values_of(row));
		}
	puts("\t*) return 1 ;;\n\tesac\n}\n");
}

/* _reuseportd_options COMMAND: prints the command's options. */
static void generate_bash_options(void)
{
	const struct option_row *row;

	puts("_reuseportd_options() {\n\tcase $1 in");
	for (const struct command *c = commands; c->name; c++) {
		printf("\t%s) echo \"", c->name);
		for (size_t i = 0; (row = command_option(c, i)); i++)
			printf("--%s ", row->name);
		puts("--help\" ;;");
	}
	puts("\tesac\n}\n");
}

static void generate_bash(void)
{
	puts("_reuseportd_commands() {");
	printf("\techo \"");
	for (const struct command *c = commands; c->name; c++)
		printf("%s ", c->name);
	puts("--help --version\"\n}\n");
	generate_bash_options();
	generate_bash_values();
	puts("_reuseportd_arguments() {\n\tcase $1 in");
	for (const struct command *c = commands; c->name; c++) {
		printf("\t%s) echo \"", c->name);
		generate_bash_arguments(c);
		puts("\" ;;");
	}
	puts("\tesac\n}\n\n# Whether the command takes another command after \"--\".\n"
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
			generate_man();
		else
			generate_bash();
	}
	if (!found)
		fprintf(stderr, "generate: the frame has no line %s\n", TABLES);
	return found && fflush(stdout) == 0 && !ferror(stdout) ? EXIT_OK : EXIT_REFUSED;
}
