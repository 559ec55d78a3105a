/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/command_line.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/memory.h"
#include "base/strv.h"
#include "config/run_option.h"

/* argp's keys of options without a letter. */
#define KEY_FIRST 256

struct command_line {
	const struct command *command;
	struct invocation *invocation;
};

static int command_line_key(const struct option_row *row, size_t i)
{
	return row->letter ? row->letter : KEY_FIRST + (int)i;
}

static const struct option_row *command_line_find(const struct command *command, int key)
{
	const struct option_row *row;

	for (size_t i = 0; (row = command_option(command, i)); i++)
		if (command_line_key(row, i) == key)
			return row;
	return NULL;
}

/* argp's table of the command's options. */
static struct argp_option *command_line_table(const struct command *command)
{
	const struct option_row *row;
	struct argp_option *table;
	size_t n = 0;

	while (command_option(command, n))
		n++;
	table = memory_need(calloc(n + 1, sizeof(*table)));
	for (size_t i = 0; (row = command_option(command, i)); i++)
		table[i] = (struct argp_option){.name = row->name,
		                                .key = command_line_key(row, i),
		                                .arg = row->argument,
		                                .doc = row->help};
	return table;
}

/* argp_error() exits, except where a caller of argp_parse() forbids it. */
__attribute__((format(printf, 2, 3))) static error_t command_line_reject(struct argp_state *state,
                                                                         const char *format, ...)
{
	char text[ERROR_TEXT_MAX], escaped[ERROR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	escape_text(escaped, sizeof(escaped), text, ESCAPE_LINES);
	argp_error(state, "%s", escaped);
	return EINVAL;
}

static error_t command_line_take_option(const struct option_row *row, const char *value,
                                        struct argp_state *state)
{
	struct invocation *invocation = ((struct command_line *)state->input)->invocation;
	struct error err;
	int r;

	/* args_load() sets the options of `run`: some depend on others, or on the file. */
	if (option_find(run_options, row->name) == row)
		r = args_add(&invocation->run, row->name, value);
	else
		r = option_set(row, invocation, value, 0, &err);
	if (r == -ENOMEM)
		argp_failure(state, EXIT_REFUSED, ENOMEM, "can't parse the command line");
	return r < 0 ? command_line_reject(state, "--%s", err.text) : 0;
}

static error_t command_line_add_argument(char *text, struct argp_state *state)
{
	struct invocation *invocation = ((struct command_line *)state->input)->invocation;

	if (invocation->n_args == INVOCATION_ARGS_MAX) {
		argp_error(state, "too many arguments");
		return E2BIG;
	}
	invocation->args[invocation->n_args++] = text;
	return 0;
}

static error_t command_line_take_argument(char *text, struct argp_state *state)
{
	const struct command_line *line = state->input;
	struct args *run = &line->invocation->run;

	if (line->command->takes_command && state->quoted && state->next > state->quoted) {
		/* All that follows "--" is a command with its own options. */
		run->command = state->argv + state->next - 1;
		state->next = state->argc;
	} else if (!line->command->run_options) {
		return command_line_add_argument(text, state);
	} else if (run->file) {
		return command_line_reject(state,
		                           "more than one file: '%s' and '%s'; if '%s' is a "
		                           "command, put -- before it",
		                           run->file, text, run->file);
	} else {
		run->file = text;
	}
	return 0;
}

static error_t command_line_parse_key(int key, char *text, struct argp_state *state)
{
	const struct command_line *line = state->input;
	const struct option_row *row = command_line_find(line->command, key);

	if (key == ARGP_KEY_ARG)
		return command_line_take_argument(text, state);
	return row ? command_line_take_option(row, text, state) : ARGP_ERR_UNKNOWN;
}

/* An option that is unknown is printed by getopt(), as it is. So no option has a control character,
 * which no known one has either. */
static void command_line_clean_options(char **argv)
{
	for (char **word = argv + 1; *word && strcmp(*word, "--") != 0; word++) {
		size_t n;

		for (char *at = *word; **word == '-' && *at && *at != '='; at += n) {
			uint32_t character;

			n = escape_read(at, &character);
			if (character == ESCAPE_NO_CHARACTER || escape_is_control(character))
				memset(at, '?', n);
		}
	}
}

void command_line_parse(const struct command *command, int argc, char **argv,
                        struct invocation *ret)
{
	struct command_line line = {.command = command, .invocation = ret};
	_cleanup_free_ struct argp_option *table = command_line_table(command);
	const struct argp argp = {
	        .options = table,
	        .parser = command_line_parse_key,
	        .args_doc = command->args[0] ? command->args : NULL,
	        .doc = command->help,
	};

	*ret = (struct invocation){.attach.label = RPD_FIRST_LABEL,
	                           .dealing = {RPD_POLICY_MAX, -1, -1, 0},
	                           .timeout = -1,
	                           .lame_duck = -1};
	argp_err_exit_status = EXIT_USAGE;
	command_line_clean_options(argv);
	/* Another error has ended in argp_error(). */
	memory_check(-argp_parse(&argp, argc, argv, command->takes_command ? ARGP_IN_ORDER : 0,
	                         NULL, &line));
}

int command_line_read_own(char ***ret, struct error *err)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/cmdline", "re");
	_cleanup_free_ char *word = NULL;
	size_t room = 0;

	while (file && memory_getdelim(&word, &room, '\0', file) > 0)
		if (strv_append(ret, word) < 0)
			return error_set(err, -ENOMEM, "out of memory");
	return *ret ? 0 : error_set(err, -EIO, "can't read /proc/self/cmdline");
}
