/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the manual page and the completion of bash from the command table, when reuseportd is
 * built. So neither knows a command or an option that there isn't, or lacks one.
 *
 * usage: generate man FRAME | generate completion
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/command.h"

static bool is_end(const struct argp_option *option)
{
	return !option->name && !option->key && !option->doc;
}

/* Text of troff: a dot or a quote at the begin of a line, and backslashes and hyphens anywhere,
 * mean something there. */
static void print_text(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++)
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
	putchar('\n');
}

static void print_option(const struct argp_option *option)
{
	printf(".TP\n.B \\-\\-");
	for (const char *c = option->name; *c; c++)
		printf(*c == '-' ? "\\-" : "%c", *c);
	if (option->arg)
		printf("=\\fI%s\\fR", option->arg);
	putchar('\n');
	print_text(option->doc ? option->doc : "");
}

/* Each line of the arguments is a way to call it. */
static void print_usage(const struct command *command)
{
	const char *args = command->args;

	do {
		size_t n = strcspn(args, "\n");

		printf(".br\n.B reuseportd %s\n", command->name);
		if (n) {
			char line[256];

			snprintf(line, sizeof(line), "%.*s", (int)n, args);
			printf(".I ");
			print_text(line);
		}
		args += n + (args[n] == '\n');
	} while (*args);
}

static void print_commands(void)
{
	for (const struct command *command = commands; command->name; command++) {
		const struct argp_option *options = command_options(command);

		printf(".SS %s\n", command->name);
		print_usage(command);
		printf(".PP\n");
		print_text(command->help);
		for (; options && !is_end(options); options++)
			if (options->name)
				print_option(options);
	}
}

static int print_manual(const char *path)
{
	_cleanup_file_ FILE *frame = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	if (!frame) {
		perror(path);
		return 1;
	}
	while (getline(&line, &room, frame) > 0)
		if (!strcmp(line, "@COMMANDS@\n"))
			print_commands();
		else
			fputs(line, stdout);
	return 0;
}

static int print_completion(void)
{
	printf("# bash completion of reuseportd; made from its command table\n"
	       "_reuseportd()\n{\n"
	       "\tlocal word=${COMP_WORDS[COMP_CWORD]} words i\n"
	       "\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
	       "\t\tif [[ ${COMP_WORDS[i]} == -- ]]; then\n"
	       "\t\t\tCOMPREPLY=($(compgen -c -- \"$word\"))\n"
	       "\t\t\treturn\n"
	       "\t\tfi\n"
	       "\tdone\n"
	       "\tif ((COMP_CWORD == 1)); then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"--help --version");
	for (const struct command *command = commands; command->name; command++)
		printf(" %s", command->name);
	printf("\" -- \"$word\"))\n\t\treturn\n\tfi\n"
	       "\tcase ${COMP_WORDS[1]} in\n");
	for (const struct command *command = commands; command->name; command++) {
		const struct argp_option *options = command_options(command);

		printf("\t%s) words=\"--help", command->name);
		for (; options && !is_end(options); options++)
			if (options->name)
				printf(" --%s", options->name);
		printf("\" ;;\n");
	}
	printf("\tesac\n"
	       "\tif [[ $word == -* ]]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
	       "\telif [[ ${COMP_WORDS[1]} == run || ${COMP_WORDS[1]} == check ]]; then\n"
	       "\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n"
	       "\telse\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$(ls /sys/fs/bpf/reuseportd 2>/dev/null)\" -- "
	       "\"$word\"))\n"
	       "\tfi\n"
	       "}\n"
	       "complete -F _reuseportd reuseportd\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "man"))
		return print_manual(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "completion"))
		return print_completion();
	fprintf(stderr, "usage: generate man FRAME | generate completion\n");
	return 2;
}
