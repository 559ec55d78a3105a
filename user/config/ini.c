/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/ini.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/words.h"
#include "config/run_option.h"
#include "core/service_name.h"

#define LINE_MAX_BYTES 65536 /* an environment variable may be long */
#define BLANKS         " \t\r\n"

/* An option in this section: on which line, and whether its value was of any use. */
struct seen {
	unsigned int line; /* 0 = not there */
	bool bad;
};

struct reader {
	const struct load_file *request;
	FILE *file;
	char *buf; /* getline()'s */
	size_t size;
	unsigned int line;
	struct load_result *loaded;
	struct problems *problems;
	/* The section that we are in. */
	struct run_config *config; /* NULL: before the first one, or its head was wrong */
	bool skip;                 /* its head was wrong, and that has been told of */
	unsigned int section;      /* its line */
	struct seen command, seen[RUN_OPTION_MAX];
};

static struct seen *ini_seen_of(struct reader *reader, const char *option)
{
	const struct run_option *known = option ? run_option_find(option) : NULL;

	return known ? &reader->seen[known - run_options] : &reader->command;
}

/* What doesn't fit together is told of at the option that says so. What is missing only because it
 * was wrong has been told of. */
static void ini_report(void *data, const char *option, const char *text)
{
	struct reader *reader = data;
	const struct seen *seen = ini_seen_of(reader, option);

	if (!seen->bad)
		problem_add(reader->problems, seen->line ? seen->line : reader->section, "%s%s%s",
		            option ? option : "", option ? ": " : "", text);
}

static void ini_warn_of_program(struct reader *reader)
{
	struct error err;

	if (load_find_program(reader->config, &err) < 0)
		problem_warn(reader->problems, reader->command.line, "command: %s", err.text);
}

static void ini_end_section(struct reader *reader)
{
	struct error err;

	if (!reader->config)
		return;
	run_config_report_problems(reader->config, ini_report, reader);
	load_host_problems(reader->config, ini_report, reader);
	if (load_env_files(reader->config, &err) < 0)
		problem_add(reader->problems, ini_seen_of(reader, "env-file")->line, "env-file: %s",
		            err.text);
	if (load_file_wants(reader->request, reader->config->service))
		ini_warn_of_program(reader);
	else
		load_drop(reader->loaded);
	reader->config = NULL;
}

static const char *ini_service_word(const void *data, size_t i)
{
	return "service";
}

/* A head that neither names a service nor begins with the word as it should. */
static void ini_tell_bad_head(struct reader *reader, const char *head, const struct error *bad_name)
{
	const size_t n = strcspn(head, BLANKS);
	const char *name = head + n + strspn(head + n, BLANKS);
	_cleanup_free_ char *word = strndup(head, n);
	struct error ignored;

	if (word && service_name_check(name, &ignored) == 0 &&
	    nearest_find(word, ini_service_word, NULL, 1))
		problem_add(reader->problems, reader->line,
		            "there is no section '%s'; is 'service %s' meant?", head, name);
	else
		problem_add(reader->problems, reader->line, "%s", bad_name->text);
}

/* Takes [service NAME] and [NAME] apart in place. NULL, with a problem, if it is neither. */
static const char *ini_section_name(struct reader *reader, char *head)
{
	char *end = strchr(head, ']'), *name = head + 1 + strspn(head + 1, BLANKS);
	struct error err;

	if (!end || end[1 + strspn(end + 1, BLANKS)]) {
		problem_add(reader->problems, reader->line,
		            "a section begins with a line such as [service web]");
		return NULL;
	}
	*end = '\0';
	while (end > name && strchr(BLANKS, end[-1]))
		*--end = '\0';
	if (!strncmp(name, "service", 7) && strspn(name + 7, BLANKS))
		name += 7 + strspn(name + 7, BLANKS);
	if (service_name_check(name, &err) < 0) {
		ini_tell_bad_head(reader, name, &err);
		return NULL;
	}
	return name;
}

static void ini_begin_section(struct reader *reader, char *head)
{
	const char *name;

	ini_end_section(reader);
	name = ini_section_name(reader, head);
	reader->section = reader->line;
	reader->command = (struct seen){};
	memset(reader->seen, 0, sizeof(reader->seen));
	reader->config = name ? load_add(reader->loaded) : NULL;
	reader->skip = !reader->config;
	if (!reader->config)
		return;
	strcpy(reader->config->service, name);
	load_check_name(reader->loaded, reader->line);
}

/* A line for libinih, which is to see nothing but keys and values: it tells neither of sections
 * that have none, nor, but for the first, of lines that are wrong or too long. */
static char *ini_read_line(char *str, int num, void *stream)
{
	struct reader *reader = stream;
	const ssize_t n = getline(&reader->buf, &reader->size, reader->file);
	char *text = reader->buf;

	if (n < 0)
		return NULL;
	reader->line++;
	*str = '\0';
	if (strlen(text) != (size_t)n) {
		problem_add(reader->problems, reader->line, "there is a NUL byte in this line");
		return str;
	}
	if (n >= num) {
		problem_add(reader->problems, reader->line, "a line has less than %d bytes", num);
		return str;
	}
	if (reader->line == 1 && !strncmp(text, "\xef\xbb\xbf", 3))
		text += 3; /* a byte order mark */
	text += strspn(text, BLANKS);
	if (*text == '[')
		ini_begin_section(reader, text);
	else
		strcpy(str, text);
	return str;
}

static const char *ini_key_name(const void *data, size_t i)
{
	return i < run_option_count() ? run_options[i].name : "command";
}

static void ini_tell_unknown(struct reader *reader, const char *name)
{
	const char *near = nearest_find(name, ini_key_name, NULL, run_option_count() + 1);

	problem_add(reader->problems, reader->line, "there is no option '%s'%s%s%s", name,
	            near ? "; is '" : "", near ? near : "", near ? "' meant?" : "");
}

/* Whether the value is of use. */
static bool ini_set_command(struct reader *reader, const char *value)
{
	char **words = NULL;
	const int r = value ? words_split(value, &words) : 0;

	if (r == 0 && words) {
		reader->config->argv = words;
		return true;
	}
	problem_add(reader->problems, reader->line, "command: %s",
	            r == 0                      ? "it is empty"
	            : r == WORDS_UNCLOSED_QUOTE ? "a quote has no end"
	            : r == WORDS_NEED_SHELL
	                    ? "this is for a shell: write sh -c '...', or quote what looks like it"
	                    : "out of memory");
	return false;
}

static bool ini_set_option(struct reader *reader, const char *name, const char *value)
{
	struct error err;

	if (run_option_set(reader->config, name, value, reader->request->n_cpus, &err) == 0)
		return true;
	problem_add(reader->problems, reader->line, "%s", err.text);
	return false;
}

static void ini_take_key(struct reader *reader, const char *name, const char *value)
{
	const bool command = !strcmp(name, "command");
	const struct run_option *option = run_option_find(name);
	struct seen *seen = ini_seen_of(reader, name);

	if (!strcmp(name, "service")) {
		problem_add(reader->problems, reader->line,
		            "service: the head of the section names it");
		return;
	}
	if (!command && !option) {
		ini_tell_unknown(reader, name);
		return;
	}
	if (seen->line && (command || !option->repeatable)) {
		problem_add(reader->problems, reader->line, "%s: it is on line %u already", name,
		            seen->line);
		return;
	}
	seen->line = reader->line;
	if (!(command ? ini_set_command(reader, value) : ini_set_option(reader, name, value)))
		seen->bad = true;
}

static int ini_handle(void *user, const char *section, const char *name, const char *value)
{
	struct reader *reader = user;

	if (reader->config)
		ini_take_key(reader, name, value);
	else if (!reader->skip)
		problem_add(reader->problems, reader->line,
		            "'%s' is before the first section, such as [service web]", name);
	return 1;
}

static int ini_read(struct reader *reader)
{
	ini_allow_multiline = false; /* a line that is indented is a line like others */
	ini_allow_inline_comments = false;
	ini_allow_no_value = true;
	ini_use_stack = false;
	ini_max_line = LINE_MAX_BYTES;
	ini_initial_alloc = LINE_MAX_BYTES;
	return ini_parse_stream(ini_read_line, reader, ini_handle, reader);
}

int ini_load(const struct load_file *file, struct load_result *ret, struct error *err)
{
	_cleanup_file_ FILE *input = fopen(file->path, "re");
	struct reader reader = {
	        .request = file, .file = input, .loaded = ret, .problems = &ret->problems};
	int r;

	if (!input)
		return error_usage(err, "'%s' can't be read: %s", file->path, strerror(errno));
	r = ini_read(&reader);
	ini_end_section(&reader);
	free(reader.buf);
	if (ferror(input))
		return error_usage(err, "'%s' can't be read", file->path);
	if (r != 0)
		problem_add(reader.problems, r > 0 ? r : 0,
		            r > 0 ? "this line can't be read" : "out of memory");
	else if (!reader.section)
		problem_add(reader.problems, 0,
		            "there is no service in it: no section such as [service web]");
	problems_sort(reader.problems);
	return 0;
}
