/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/output_bed.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "check/folder.h"

struct output_bed *output_bed;

void output_bed_begin(void)
{
	char path[OUTPUT_BED_PATH_MAX];

	if (!output_bed)
		output_bed = children_map(sizeof(*output_bed));
	memset(output_bed, 0, sizeof(*output_bed));
	output_bed->ended = output_bed->tail = output_bed->cgroup = -1;
	output_bed->n_files = 1;
	for (int i = 0; i < OUTPUT_BED_WRITERS; i++) {
		output_bed_path(path, i);
		unlink(path);
	}
}

void output_bed_path(char path[OUTPUT_BED_PATH_MAX], int number)
{
	snprintf(path, OUTPUT_BED_PATH_MAX, "%s/%d-1", folder_path(), number);
}

int output_bed_open(int number)
{
	char path[OUTPUT_BED_PATH_MAX];

	output_bed_path(path, number);
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

struct stat output_bed_stat(int number)
{
	struct stat st = {0};
	char path[OUTPUT_BED_PATH_MAX];

	output_bed_path(path, number);
	stat(path, &st);
	return st;
}

bool output_bed_write(int number, const char *text)
{
	_cleanup_close_ int fd = output_bed_open(number);

	return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

void output_bed_log(int *ret_write, int *ret_read)
{
	char path[OUTPUT_BED_PATH_MAX];

	snprintf(path, sizeof(path), "%s/log", folder_path());
	*ret_write = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	*ret_read = open(path, O_RDONLY | O_CLOEXEC);
	unlink(path);
	CHECK(*ret_write >= 0 && *ret_read >= 0);
}

size_t output_bed_line(char line[OUTPUT_BED_LINE_MAX], int writer, int n)
{
	const int fill = 1 + (n % 1000 * 7919 + writer * 131) % 200;
	int length = snprintf(line, OUTPUT_BED_LINE_MAX, "%d %d ", writer, n);

	memset(line + length, 'a' + n % 26, fill);
	length += fill;
	length += snprintf(line + length, 32, " %d\n", n);
	return length;
}

void output_bed_writer(int number)
{
	_cleanup_close_ int fd = output_bed_open(number);
	char line[OUTPUT_BED_LINE_MAX];

	for (int n = output_bed->first; n < output_bed->first + output_bed->n_lines; n++) {
		const size_t length = output_bed_line(line, number, n);
		const size_t half = n % 5 == 0 ? length / 2 : 0;

		if (half && write(fd, line, half) != (ssize_t)half)
			_exit(1);
		if (write(fd, line + half, length - half) != (ssize_t)(length - half))
			_exit(1);
	}
}

void output_bed_start_writers(int n, int n_lines)
{
	output_bed->n_lines = n_lines;
	output_bed->n_files = n;
	for (int i = 0; i < n; i++)
		children_start(output_bed_writer, i);
}
