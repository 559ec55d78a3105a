/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/proc_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Fields of a stat file, proc(5), by their number after comm. */
#define STAT_PPID       2
#define STAT_START_TIME 20

int proc_read_open(uint32_t pid)
{
	char path[PROC_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "/proc/%" PRIu32, pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

DIR *proc_read_directory(int at, const char *path)
{
	_cleanup_close_ int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir)
		TAKE_FD(fd);
	return dir;
}

int proc_read_number(DIR *dir)
{
	const struct dirent *entry;

	while ((entry = readdir(dir)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			return atoi(entry->d_name);
	return -1;
}

int proc_read_text(int at, const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, buf, size - 1);
	if (length < 0)
		return -errno;
	buf[length] = '\0';
	return 0;
}

bool proc_read_link(int at, const char *path, char text[PROC_LINK_MAX])
{
	ssize_t length = readlinkat(at, path, text, PROC_LINK_MAX - 1);

	if (length < 0)
		return false;
	text[length] = '\0';
	return true;
}

uint64_t proc_read_inode(const char *text, const char *kind)
{
	const size_t length = strlen(kind);

	if (strncmp(text, kind, length) != 0 || strncmp(text + length, ":[", 2) != 0)
		return 0;
	return strtoull(text + length + 2, NULL, 10);
}

uint32_t proc_read_socket(int process, int fd)
{
	char path[PROC_PATH_MAX], text[PROC_LINK_MAX];

	snprintf(path, sizeof(path), "fd/%d", fd);
	return proc_read_link(process, path, text) ? (uint32_t)proc_read_inode(text, "socket") : 0;
}

/* A process can give itself any name, and we write the name to terminals and as JSON. */
static void proc_read_make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* The @n-th word of @text, which begins with a space; NULL if there are fewer. sscanf() would take
 * ten times as long for the twenty words of a stat file. */
static const char *proc_read_word(const char *text, unsigned int n)
{
	for (; text && n; n--) {
		text = strchr(text, ' ');
		text = text ? text + 1 : NULL;
	}
	return text;
}

static bool proc_read_word_as_number(const char *text, unsigned int n, uint64_t *ret)
{
	const char *word = proc_read_word(text, n);
	char *end = NULL;

	if (!word)
		return false;
	*ret = strtoull(word, &end, 10);
	return end != word;
}

/*
 * "PID (comm) S ppid ...": comm can contain spaces and parentheses, proc(5). The file of the first
 * thread has the same fields as that of the process, but the kernel doesn't add up the times of all
 * threads for it, which takes 20 us for a thousand threads (do_task_stat() in fs/proc/array.c).
 */
int proc_read_parse_stat(const char *text, uint32_t pid, struct process *ret)
{
	struct process now = {.id.pid = pid};
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	uint64_t ppid;

	if (!open || !close || close < open ||
	    !proc_read_word_as_number(close + 1, STAT_PPID, &ppid) ||
	    !proc_read_word_as_number(close + 1, STAT_START_TIME, &now.id.start_time))
		return -EBADMSG;
	if (close[2] == 'Z' || close[2] == 'X') /* the state */
		return -ESRCH;
	now.ppid = (uint32_t)ppid;
	snprintf(now.comm, sizeof(now.comm), "%.*s", (int)(close - open - 1), open + 1);
	proc_read_make_printable(now.comm);
	*ret = now;
	return 0;
}

static int proc_read_stat(int at, const char *path, uint32_t pid, struct process *ret)
{
	char text[1024];
	int r = proc_read_text(at, path, text, sizeof(text));

	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	return proc_read_parse_stat(text, pid, ret);
}

int proc_read_identity(int process, uint32_t pid, struct process *ret)
{
	char path[PROC_PATH_MAX];

	snprintf(path, sizeof(path), "task/%" PRIu32 "/stat", pid);
	return proc_read_stat(process, path, pid, ret);
}

int proc_read_identity_now(uint32_t pid, struct process *ret)
{
	char path[PROC_PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task/%" PRIu32 "/stat", pid, pid);
	return proc_read_stat(AT_FDCWD, path, pid, ret);
}

char proc_read_state(pid_t pid)
{
	char path[64], text[512];
	const char *name_end;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (proc_read_text(AT_FDCWD, path, text, sizeof(text)) < 0)
		return '\0';
	name_end = strrchr(text, ')'); /* from proc(5): PID (NAME) STATE ... */
	return name_end && name_end[1] == ' ' ? name_end[2] : '\0';
}
