/* What a disk may hold after power was cut.
 *
 * The calls that change files below one directory are recorded as they are made; then the disk
 * as it may be after any prefix of them is written into another directory.  What a file held at
 * its last fsync is certain, and so are names up to the directory's last fsync; everything later
 * may be there, or not, or in part. */
#ifndef EMK_TESTS_DEVICE_DISK_H
#define EMK_TESTS_DEVICE_DISK_H

#include <stdbool.h>
#include <stddef.h>

/* Ways in which what was not synced may have reached the disk. */
typedef enum disk_luck {
    DISK_ALL,         /* all of it */
    DISK_NOTHING,     /* nothing of it */
    DISK_NAMES_FIRST, /* names, and no data */
    DISK_DATA_FIRST,  /* data, and no names */
    DISK_TORN,        /* all, but of the last write only its first sectors */
    DISK_TORN_BACK,   /* all, but of the last write only its last sectors */
    DISK_LAST_ONLY,   /* names, and of each file only the last write */
    DISK_LUCKS
} disk_luck;

/* From now on changes below dir are recorded, on top of what is there now. */
void disk_record(const char *dir);
/* After n more calls this process ends with DISK_CUT, having filled `to` as disk_replay does: for
 * what has a memory of its own beside the disk, which the rest of the step must not reach. */
#define DISK_CUT 42
void disk_cut_at(size_t n, disk_luck luck, const char *to);
/* Stops.  Gives the number of calls. */
size_t disk_stop(void);
/* Fills `to`, an empty directory, with what the disk may hold after the first n calls. */
void disk_replay(size_t n, disk_luck luck, const char *to);
void disk_forget(void);

#endif
