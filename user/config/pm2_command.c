/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path_search.h"
#include "base/strv.h"
#include "config/node.h"
#include "config/pm2_mode.h"
#include "config/pm2_words.h"
#include "core/env.h"
#include "kern/file_read.h"
#include "kern/working_dir.h"

#define BLANKS " \t\r"

static const char typescript[] = "bun or node", python[] = "python";

/* The interpreter of each extension of a script. */
static const struct {
	const char *extension, *interpreter;
} interpreters[] = {
        {".js", "node"},       {".cjs", "node"}, {".mjs", "node"},    {".sh", "bash"},
        {".py", python},       {".rb", "ruby"},  {".php", "php"},     {".pl", "perl"},
        {".coffee", "coffee"}, {".ls", "lsc"},   {".ts", typescript}, {".tsx", typescript},
};

static void pm2_command_append(struct pm2_app *app, const char *word)
{
	if (strv_append(&app->config->argv, word) < 0)
		pm2_app_problem(app, NULL, "out of memory");
}

/* The elements of an array; the caller frees the vector. */
static char **pm2_command_list_words(struct pm2_app *app, const char *key,
                                     struct json_object *array)
{
	const size_t length = json_object_array_length(array);
	char **words = calloc(length + 1, sizeof(*words));
	size_t n = 0;

	for (size_t i = 0; words && i < length; i++) {
		const char *text = pm2_app_text(json_object_array_get_idx(array, i));

		if (!text)
			pm2_app_problem(app, key, "an element of the array is not text");
		else if ((words[n] = strdup(text)))
			n++;
	}
	if (!words || (n < length && !app->problems->n_errors))
		pm2_app_problem(app, NULL, "out of memory");
	return words;
}

/* Appends arguments: one text or an array. */
static void pm2_command_append_words(struct pm2_app *app, const char *key,
                                     struct json_object *value)
{
	_cleanup_strv_ char **words = NULL;
	const char *text = pm2_app_text(value);

	if (json_object_is_type(value, json_type_array))
		words = pm2_command_list_words(app, key, value);
	else if (!text)
		pm2_app_problem(app, key, "the value is neither text nor an array");
	else if (pm2_words_split(text, &words) < 0)
		pm2_app_problem(app, NULL, "out of memory");
	if (strv_extend(&app->config->argv, words) < 0)
		pm2_app_problem(app, NULL, "out of memory");
	else
		TAKE_PTR(words);
}

static bool pm2_command_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static bool pm2_command_is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* FOLDER/NAME, or NAME if it begins with '/'. The caller frees it; NULL if memory is short. */
static char *pm2_command_join(const char *folder, const char *name)
{
	char *path = NULL;

	if (name[0] == '/')
		return strdup(name);
	return asprintf(&path, "%s/%s", folder,
	                name[0] == '.' && name[1] == '/' ? name + 2 : name) < 0
	               ? NULL
	               : path;
}

/* The folder of the file. The caller frees it; NULL if the file does not exist. */
static char *pm2_command_folder_of(const char *file)
{
	char *path = realpath(file, NULL), *slash = path ? strrchr(path, '/') : NULL;

	if (slash)
		slash[slash == path] = '\0';
	return path;
}

/* Finds @name in the working directory, or else in the folder of the file, and returns its path
 * and, in *@ret_folder, that folder. PM2 looks only in the working directory, but for a service of
 * systemd that is '/'. NULL if @name is in neither. */
static char *pm2_command_find(struct pm2_app *app, const char *name, char **ret_folder)
{
	const char *given = working_dir_as_given();
	char *folders[] = {given ? strdup(given) : getcwd(NULL, 0),
	                   pm2_command_folder_of(app->file->path)};
	char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char *path = folders[i] && !found ? pm2_command_join(folders[i], name) : NULL;

		if (path && pm2_command_exists(path)) {
			found = TAKE_PTR(path);
			*ret_folder = TAKE_PTR(folders[i]);
		}
		free(path);
		free(folders[i]);
	}
	return found;
}

/* The path of a program along PATH; NULL if there is none. The caller frees it. */
static char *pm2_command_find_program(const char *name)
{
	_cleanup_free_ char **candidates = path_search_candidates(name, getenv("PATH"));

	if (strchr(name, '/'))
		return NULL;
	for (char **path = candidates; path && *path; path++)
		if (pm2_command_is_program(*path))
			return strdup(*path);
	return NULL;
}

static void pm2_command_set_cwd(struct pm2_app *app)
{
	static const char *const names[] = {"cwd", NULL};
	const char *cwd = pm2_app_text(pm2_app_get(app, names, NULL));
	_cleanup_free_ char *folder = NULL, *path = NULL;

	if (!cwd)
		return;
	path = pm2_command_find(app, cwd, &folder);
	if (path)
		pm2_app_set(app, "cwd", "cwd", path);
	else
		pm2_app_problem(app, "cwd", "there is no folder '%s'", cwd);
}

/* The path of the script; NULL, with a problem, if it does not exist. Sets cwd if it is not set. */
static char *pm2_command_find_script(struct pm2_app *app, const char *script)
{
	_cleanup_free_ char *folder = NULL;
	char *path = app->config->cwd ? pm2_command_join(app->config->cwd, script)
	                              : pm2_command_find(app, script, &folder);

	if (path && pm2_command_exists(path)) {
		if (folder)
			pm2_app_set(app, "cwd", "cwd", folder);
		return path;
	}
	free(path);
	path = pm2_command_find_program(script);
	if (!path)
		pm2_app_problem(app, "script", "there is no '%s'%s%s%s%s", script,
		                app->config->cwd ? " in " : "",
		                app->config->cwd ? app->config->cwd : "",
		                app->config->user ? ", or it is hidden from user " : "",
		                app->config->user ? app->config->user : "");
	return path;
}

/* Whether a "#!" line names node, without options for it. */
static bool pm2_command_is_for_node(const char *line, size_t n)
{
	while (n && strchr(BLANKS, line[n - 1]))
		n--;
	return n > 4 && !memcmp(line + n - 4, "node", 4) && strchr("/" BLANKS, line[n - 5]);
}

/* Whether the kernel can execute the file: a binary, or an executable script with a "#!" line. PM2
 * would run that script by node, whatever it is written for. */
static bool pm2_command_runs_alone(const char *path)
{
	char head[512];
	const int n = file_read_head(AT_FDCWD, path, head, sizeof(head));
	const char *end = n > 0 ? memchr(head, '\n', (size_t)n) : NULL;

	if (n > 0 && memchr(head, '\0', (size_t)n))
		return true;
	return n > 2 && !memcmp(head, "#!", 2) && pm2_command_is_program(path) &&
	       !pm2_command_is_for_node(head, end ? (size_t)(end - head) : (size_t)n);
}

/* As PM2: python, or python3 where there is no python. */
static const char *pm2_command_find_python(void)
{
	_cleanup_free_ char *found = pm2_command_find_program(python);

	return found ? python : "python3";
}

static const char *const interpreter_names[] = {"interpreter", "exec_interpreter", NULL};
static const char *const before[] = {"node_args", "interpreter_args", "interpreterArgs", NULL};
static const char *const after[] = {"args", NULL};

/* Warns that arguments or an interpreter are ignored. */
static void pm2_command_warn_of_unused(struct pm2_app *app, const char *const *names,
                                       const char *why)
{
	const char *key;
	struct json_object *value = pm2_app_get(app, names, &key);

	if (value &&
	    (!json_object_is_type(value, json_type_array) || json_object_array_length(value)))
		pm2_app_warn(app, key, "ignored: %s", why);
}

/* NULL: the script needs none. */
static const char *pm2_command_choose_interpreter(struct pm2_app *app, const char *path)
{
	const char *key, *given = pm2_app_text(pm2_app_get(app, interpreter_names, &key));
	const char *slash = strrchr(path, '/'), *dot = slash ? strrchr(slash, '.') : NULL;

	if (given && !strncmp(given, "node@", 5)) {
		pm2_app_warn(app, key,
		             "nvm is not supported: the node in PATH is used instead of %s", given);
		return "node";
	}
	if (given)
		return strcmp(given, "none") != 0 ? given : NULL;
	for (size_t i = 0; dot && i < ARRAY_SIZE(interpreters); i++)
		if (!strcmp(dot, interpreters[i].extension))
			return interpreters[i].interpreter != python ? interpreters[i].interpreter
			                                             : pm2_command_find_python();
	return pm2_command_runs_alone(path) ? NULL : "node";
}

/* A command line: PM2 passes it to bash, or to sh where there is none, and ignores the other
 * options. */
static void pm2_command_set_command_line(struct pm2_app *app, const char *line)
{
	static const char why[] = "`script` contains a space and therefore is a command line";
	static const char *const *const unused[] = {interpreter_names, before, after};
	_cleanup_free_ char *bash = pm2_command_find_program("bash");

	pm2_command_append(app, bash ? bash : "/bin/sh");
	pm2_command_append(app, "-c");
	pm2_command_append(app, line);
	for (size_t i = 0; i < ARRAY_SIZE(unused); i++)
		pm2_command_warn_of_unused(app, unused[i], why);
	if (strstr(line, "--inspect"))
		pm2_app_warn(app, "script",
		             "all workers open the same port for the inspector: set node_args, "
		             "then each has its own");
}

#define TYPES_STRIPPED(version) (((version) >= 22018 && (version) < 23000) || (version) >= 23006)
#define TYPES_STRIPPED_BY_FLAG  22006

/* As PM2: bun runs TypeScript, or node where it can. Returns whether there is one of them. */
static bool pm2_command_append_typescript(struct pm2_app *app, const char *path)
{
	const struct node_request request = {.user = app->config->user,
	                                     .group = app->config->group};
	_cleanup_free_ char *bun = pm2_command_find_program("bun");
	const bool is_tsx = path[strlen(path) - 1] == 'x';
	const int version = bun || is_tsx ? 0 : node_version(&request);

	if (bun || TYPES_STRIPPED(version)) {
		pm2_command_append(app, bun ? "bun" : "node");
	} else if (version >= TYPES_STRIPPED_BY_FLAG) {
		pm2_command_append(app, "node");
		pm2_command_append(app, "--experimental-strip-types");
	} else if (version > 0) {
		pm2_app_problem(app, "script",
		                "node %d.%d can't run TypeScript: install bun or Node.js 22.18 or "
		                "later, or set `interpreter` to a program such as tsx or ts-node",
		                version / 1000, version % 1000);
	} else {
		pm2_app_problem(app, "script",
		                "%s needs bun, which is not installed: install it%s, or set "
		                "`interpreter` to a program such as tsx",
		                is_tsx ? "a .tsx file" : "TypeScript",
		                is_tsx ? "" : " or Node.js 22.18 or later");
	}
	return app->config->argv;
}

static bool pm2_command_is_off(const struct pm2_app *app, const char *key)
{
	struct json_object *value = json_object_object_get(app->json, key);

	return json_object_is_type(value, json_type_boolean) && !json_object_get_boolean(value);
}

/* Not a program such as ts-node, which refuses options of node that it does not know. */
static bool pm2_command_is_node(const struct pm2_app *app)
{
	const char *program = app->config->argv ? app->config->argv[0] : "";
	const char *slash = strrchr(program, '/');

	return !strcmp(slash ? slash + 1 : program, "node");
}

/* PM2's own code in the program catches promises that are rejected: they only print a message. In
 * fork mode, pmx and automation switch this off. */
static void pm2_command_append_rejections(struct pm2_app *app)
{
	if (pm2_command_is_node(app) &&
	    (pm2_mode_is_cluster(app) ||
	     !(pm2_command_is_off(app, "pmx") || pm2_command_is_off(app, "automation"))))
		pm2_command_append(app, "--unhandled-rejections=warn");
}

/* Interpreter, its arguments, script, arguments of the app. */
static void pm2_command_set_program(struct pm2_app *app, const char *path, const char *interpreter)
{
	const char *key;
	struct json_object *words = pm2_app_get(app, before, &key);

	if (interpreter == typescript && !pm2_command_append_typescript(app, path))
		return;
	if (interpreter && interpreter != typescript)
		pm2_command_append(app, interpreter);
	pm2_command_append_rejections(app);
	if (interpreter && words)
		pm2_command_append_words(app, key, words);
	else
		pm2_command_warn_of_unused(app, before, "the script needs no interpreter");
	pm2_command_append(app, path);
	words = pm2_app_get(app, after, &key);
	if (words)
		pm2_command_append_words(app, key, words);
	/* As in PM2: lines are not held back in Python's buffer. */
	if (interpreter && strstr(interpreter, "python") &&
	    !env_find(app->config->env, "PYTHONUNBUFFERED") &&
	    env_set(&app->config->env, "PYTHONUNBUFFERED=1") < 0)
		pm2_app_problem(app, NULL, "out of memory");
}

void pm2_command_set(struct pm2_app *app)
{
	static const char *const names[] = {"script", "exec", "cmd", "command", NULL};
	const char *script = pm2_app_text(pm2_app_get(app, names, NULL)), *interpreter;
	_cleanup_free_ char *path = NULL;
	_cleanup_file_rights_ struct file_rights own = {};

	load_assume_rights(app->config, &own);
	pm2_command_set_cwd(app);
	if (!script) {
		pm2_app_problem(app, "script", "the script is missing");
		return;
	}
	if (!strcmp(script, "serve")) {
		pm2_app_problem(
		        app, "script",
		        "PM2 runs its own server of static files for 'serve': let nginx serve "
		        "the files, or install the npm package serve, and set `script` to "
		        "node_modules/.bin/serve and `args` to '-l PORT FOLDER'");
		return;
	}
	if (strchr(script, ' ')) {
		pm2_command_set_command_line(app, script);
		return;
	}
	path = pm2_command_find_script(app, script);
	if (!path)
		return;
	interpreter = pm2_command_choose_interpreter(app, path);
	file_rights_restore(&own); /* node may be asked for its version */
	pm2_command_set_program(app, path, interpreter);
}
