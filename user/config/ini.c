/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/ini.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/words.h"
#include "config/file_user.h"
#include "config/run_option.h"
#include "core/service_name.h"

#define LINE_MAX_BYTES 65536 /* an environment variable may be long */
#define BLANKS         " \t\r\n"
#define REPEAT_MAX     1000 /* how often a section may set one option; each needs a scan */

/* Where the current section sets an option. */
struct ini_seen {
	unsigned int line; /* 0 = nowhere */
	unsigned int n;    /* how often, if it is repeatable */
	bool bad;          /* the value was refused */
};

struct ini_input {
	const struct load_file *request;
	const char *next, *end; /* the rest of the text */
	unsigned int line;
	struct load_result *loaded;
	struct problems *problems;
	/* The current section. */
	struct run_config *config; /* NULL: before the first section, or its head is wrong */
	bool skip;                 /* its head is wrong, which has been reported */
	unsigned int section;      /* its line */
	struct ini_seen command, seen[RUN_OPTION_MAX];
};

static struct ini_seen *ini_seen_of(struct ini_input *input, const char *option)
{
	const struct option_row *known = option ? option_find(run_options, option) : NULL;

	return known ? &input->seen[known - run_options] : &input->command;
}

/* Reports a problem at the line of the option that causes it. An option with a refused value is
 * not set; the refusal has been reported. */
static void ini_report(void *data, const char *option, const char *text)
{
	struct ini_input *input = data;
	const struct ini_seen *seen = ini_seen_of(input, option);

	if (!seen->bad)
		problems_add(input->problems, seen->line ? seen->line : input->section, "%s%s%s",
		             option ? option : "", option ? ": " : "", text);
}

static void ini_warn_of_program(struct ini_input *input)
{
	struct error err;

	if (load_find_program(input->config, &err) < 0)
		problems_warn(input->problems, input->command.line, "command: %s", err.text);
}

static void ini_note_fault(struct ini_input *input, const char *option, const struct error *why)
{
	const struct ini_seen *seen = ini_seen_of(input, option);
	char text[sizeof(why->text) + 16];

	snprintf(text, sizeof(text), "%s: %s", option, why->text);
	load_note_fault(input->loaded, input->request, seen->line ? seen->line : input->section,
	                text);
}

static void ini_end_section(struct ini_input *input)
{
	const char *option;
	struct error err;

	if (!input->config)
		return;
	file_user_set(input->request, input->config, ini_report, input);
	run_config_report_problems(input->config, ini_report, input);
	load_host_problems(input->config, ini_report, input);
	if (load_environment(input->loaded, &option, &err) < 0)
		ini_note_fault(input, option, &err);
	if (load_file_wants(input->request, input->config->service))
		ini_warn_of_program(input);
	else
		load_drop(input->loaded);
	input->config = NULL;
}

static const char *ini_name_service(const void *data, size_t i)
{
	return "service";
}

/* Reports a head that is neither [NAME] nor [service NAME]. */
static void ini_report_bad_head(struct ini_input *input, const char *head,
                                const struct error *bad_name)
{
	const size_t n = strcspn(head, BLANKS);
	const char *name = head + n + strspn(head + n, BLANKS);
	_cleanup_free_ char *word = strndup(head, n);
	struct error ignored;

	if (word && service_name_check(name, &ignored) == 0 &&
	    nearest_find(word, ini_name_service, NULL, 1))
		problems_add(input->problems, input->line,
		             "there is no section '%s'; did you mean 'service %s'?", head, name);
	else
		problems_add(input->problems, input->line, "%s", bad_name->text);
}

/* The NAME of [service NAME] or [NAME], in place. NULL, with a problem, if the head is neither. */
static const char *ini_section_name(struct ini_input *input, char *head)
{
	char *end = strchr(head, ']'), *name = head + 1 + strspn(head + 1, BLANKS);
	struct error err;

	if (!end || end[1 + strspn(end + 1, BLANKS)]) {
		problems_add(input->problems, input->line,
		             "a section must begin with a line such as [service web]");
		return NULL;
	}
	*end = '\0';
	while (end > name && strchr(BLANKS, end[-1]))
		*--end = '\0';
	if (!strncmp(name, "service", 7) && strspn(name + 7, BLANKS))
		name += 7 + strspn(name + 7, BLANKS);
	if (service_name_check(name, &err) < 0) {
		ini_report_bad_head(input, name, &err);
		return NULL;
	}
	return name;
}

static void ini_begin_section(struct ini_input *input, char *head)
{
	const char *name;

	ini_end_section(input);
	name = ini_section_name(input, head);
	input->section = input->line;
	input->command = (struct ini_seen){};
	memset(input->seen, 0, sizeof(input->seen));
	input->config = name ? load_add(input->loaded) : NULL;
	input->skip = !input->config;
	if (!input->config)
		return;
	strcpy(input->config->service, name);
	load_check_name(input->loaded, input->line);
}

/* Returns the next line for libinih; NULL at the end. Sections, NUL bytes and long lines are
 * handled here, as libinih reports neither a section without keys nor any bad line but the first.
 */
static char *ini_read_line(char *str, int num, void *stream)
{
	struct ini_input *input = stream;
	const char *text = input->next, *newline;
	size_t n;

	if (text == input->end)
		return NULL;
	newline = memchr(text, '\n', input->end - text);
	input->next = newline ? newline + 1 : input->end;
	input->line++;
	n = input->next - text;
	*str = '\0';
	if (memchr(text, '\0', n)) {
		problems_add(input->problems, input->line, "the line contains a NUL byte");
		return str;
	}
	if (n >= (size_t)num) {
		problems_add(input->problems, input->line, "the line has %d bytes or more", num);
		return str;
	}
	if (input->line == 1 && n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3; /* a byte order mark */
		n -= 3;
	}
	*(char *)mempcpy(str, text, n) = '\0';
	if (str[strspn(str, BLANKS)] != '[')
		return str;
	ini_begin_section(input, str + strspn(str, BLANKS));
	*str = '\0';
	return str;
}

static const char *ini_key_name(const void *data, size_t i)
{
	return i < option_count(run_options) ? run_options[i].name : "command";
}

static void ini_report_unknown(struct ini_input *input, const char *name)
{
	const char *near = NULL;

	if (!problems_is_full(input->problems))
		near = nearest_find(name, ini_key_name, NULL, option_count(run_options) + 1);

	problems_add(input->problems, input->line, "there is no option '%s'%s%s%s", name,
	             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Whether the value is accepted. */
static bool ini_set_command(struct ini_input *input, const char *value)
{
	char **words = NULL;
	const int r = value ? words_split(value, &words) : 0;

	if (r == 0 && words) {
		input->config->argv = words;
		return true;
	}
	problems_add(
	        input->problems, input->line, "command: %s",
	        r == 0                      ? "the value is empty"
	        : r == WORDS_UNCLOSED_QUOTE ? "a quote is not closed"
	        : r == WORDS_NEED_SHELL
	                ? "a shell operator needs a shell: write sh -c '...', or quote the operator"
	                : "out of memory");
	return false;
}

static bool ini_set_option(struct ini_input *input, const char *name, const char *value)
{
	struct error err;

	if (run_option_set(input->config, name, value, input->request->n_cpus, &err) == 0)
		return true;
	problems_add(input->problems, input->line, "%s", err.text);
	return false;
}

static void ini_set_key(struct ini_input *input, const char *name, const char *value)
{
	const bool command = !strcmp(name, "command");
	const struct option_row *option = option_find(run_options, name);
	struct ini_seen *seen = ini_seen_of(input, name);

	if (!strcmp(name, "service")) {
		problems_add(input->problems, input->line,
		             "service: name the service in the head of its section");
		return;
	}
	if (!command && !option) {
		ini_report_unknown(input, name);
		return;
	}
	if (seen->line && (command || !option->repeatable)) {
		problems_add(input->problems, input->line, "%s: line %u sets it already", name,
		             seen->line);
		return;
	}
	seen->line = input->line;
	if (seen->n++ == REPEAT_MAX)
		problems_add(input->problems, input->line, "%s: more than %d times in a section",
		             name, REPEAT_MAX);
	if (seen->n > REPEAT_MAX)
		return;
	if (!(command ? ini_set_command(input, value) : ini_set_option(input, name, value)))
		seen->bad = true;
}

static int ini_handle(void *user, const char *section, const char *name, const char *value)
{
	struct ini_input *input = user;

	if (input->config)
		ini_set_key(input, name, value);
	else if (!input->skip)
		problems_add(input->problems, input->line,
		             "'%s' comes before the first section, such as [service web]", name);
	return 1;
}

static int ini_parse_lines(struct ini_input *input)
{
	ini_allow_multiline = false; /* an indented line is a line like any other */
	ini_allow_inline_comments = false;
	ini_allow_no_value = true;
	ini_use_stack = false;
	ini_max_line = LINE_MAX_BYTES;
	ini_initial_alloc = LINE_MAX_BYTES;
	return ini_parse_stream(ini_read_line, input, ini_handle, input);
}

static bool ini_has_service(const void *data, const char *name)
{
	const struct load_result *loaded = data;

	for (size_t i = 0; i < loaded->n; i++)
		if (!strcmp(loaded->configs[i].service, name))
			return true;
	return false;
}

void ini_load_text(const struct load_file *file, const char *text, size_t size,
                   struct load_result *ret)
{
	struct ini_input input = {
	        .request = file,
	        .next = text,
	        .end = text + size,
	        .loaded = ret,
	        .problems = &ret->problems,
	};
	const int r = ini_parse_lines(&input);

	ini_end_section(&input);
	if (r != 0)
		problems_add(input.problems, r > 0 ? r : 0, "%s",
		             r > 0 ? "the line is neither a section, an option nor a comment"
		                   : "out of memory");
	else if (!input.section)
		problems_add(input.problems, 0,
		             "the file has no service, that is, no section such as [service web]");
	load_check_only(file, input.problems, ini_has_service, ret);
	problems_sort(input.problems);
}

int ini_load(const struct load_file *file, struct load_result *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r = load_read_file(file, &text, &size, err);

	if (r == 0)
		ini_load_text(file, text, size, ret);
	return r;
}
