/* The functions of libnvidia-ml.so.1 that lora-plan asks, for a machine without a card.

   Types and error codes are nvml.h's. What they answer is set by environment variables:
   STUB_INIT           what nvmlInit returns
   STUB_REFUSED        names of functions, each between spaces, that return STUB_CODE (3: not supported)
   STUB_PROCESSES      "pid:bytes pid:bytes"; "?" for bytes that are not known
   STUB_CARDS          how many cards; 2 unless told
   STUB_MIG            1: the first card is cut into slices, the first of which is handle 3
   STUB_REASONS        the bits of nvmlDeviceGetCurrentClocksEventReasons */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int result;
typedef void *device; /* opaque: 1 and 2 are cards, 3 is a slice of the first */
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned int pid; unsigned long long usedGpuMemory; unsigned int gpuInstanceId, computeInstanceId; } process;

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
enum { CLOCK_SM = 1, TEMPERATURE_GPU = 0 };

static unsigned long long number(const char *name, unsigned long long otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static int refused(const char *function) {
    const char *all = getenv("STUB_REFUSED");
    char word[128];
    snprintf(word, sizeof word, " %s ", function);
    return all && strstr(all, word) ? (int)number("STUB_CODE", NOT_SUPPORTED) : SUCCESS;
}

#define UNLESS_REFUSED do { int code = refused(__func__); if (code) return code; } while (0)

result nvmlInitWithFlags(unsigned int flags) { (void)flags; return (int)number("STUB_INIT", SUCCESS); }

result nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    UNLESS_REFUSED;
    snprintf(version, length, "535.104.05");
    return SUCCESS;
}

result nvmlSystemGetCudaDriverVersion(int *version) { UNLESS_REFUSED; *version = 12020; return SUCCESS; }

result nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length) {
    UNLESS_REFUSED;
    snprintf(name, length, pid == 4242 ? "/usr/bin/python3 train.py" : "jupyter");
    return SUCCESS;
}

result nvmlDeviceGetCount_v2(unsigned int *count) { UNLESS_REFUSED; *count = number("STUB_CARDS", 2); return SUCCESS; }

result nvmlDeviceGetHandleByIndex_v2(unsigned int index, device *handle) {
    UNLESS_REFUSED;
    if (index >= number("STUB_CARDS", 2)) return INVALID_ARGUMENT;
    *handle = (device)(size_t)(index + 1);
    return SUCCESS;
}

static const char *const uuids[] = {"GPU-aaaaaaaa-0000-0000-0000-000000000001", "GPU-bbbbbbbb-0000-0000-0000-000000000002",
                                    "MIG-cccccccc-0000-0000-0000-000000000003"};

result nvmlDeviceGetHandleByUUID(const char *uuid, device *handle) {
    UNLESS_REFUSED;
    for (size_t card = 0; card < 3; card++)
        if (!strcmp(uuid, uuids[card])) { *handle = (device)(card + 1); return SUCCESS; }
    return NOT_FOUND;
}

result nvmlDeviceGetUUID(device handle, char *uuid, unsigned int length) {
    UNLESS_REFUSED;
    snprintf(uuid, length, "%s", uuids[(size_t)handle - 1]);
    return SUCCESS;
}

result nvmlDeviceGetName(device handle, char *name, unsigned int length) {
    UNLESS_REFUSED;
    snprintf(name, length, (size_t)handle == 2 ? "Tesla T4" : "NVIDIA A100-SXM4-40GB");
    return SUCCESS;
}

result nvmlDeviceGetMemoryInfo(device handle, memory *info) {
    UNLESS_REFUSED;
    info->total = ((size_t)handle == 2 ? 15360ull : 40960ull) << 20;
    info->used = 3ull << 30;
    info->free = info->total - info->used;
    return SUCCESS;
}

result nvmlDeviceGetCudaComputeCapability(device handle, int *major, int *minor) {
    UNLESS_REFUSED;
    *major = (size_t)handle == 2 ? 7 : 8;
    *minor = (size_t)handle == 2 ? 5 : 0;
    return SUCCESS;
}

result nvmlDeviceGetPowerUsage(device handle, unsigned int *milliwatts) {
    (void)handle; UNLESS_REFUSED;
    *milliwatts = 271828;
    return SUCCESS;
}

result nvmlDeviceGetClockInfo(device handle, unsigned int clock, unsigned int *mhz) {
    (void)handle; UNLESS_REFUSED;
    *mhz = clock == CLOCK_SM ? 1410 : 1;
    return SUCCESS;
}

result nvmlDeviceGetTemperature(device handle, unsigned int sensor, unsigned int *celsius) {
    (void)handle; UNLESS_REFUSED;
    *celsius = sensor == TEMPERATURE_GPU ? 61 : 1;
    return SUCCESS;
}

result nvmlDeviceGetCurrentClocksEventReasons(device handle, unsigned long long *reasons) {
    (void)handle; UNLESS_REFUSED;
    *reasons = number("STUB_REASONS", 1); /* idle */
    return SUCCESS;
}

result nvmlDeviceGetCurrentClocksThrottleReasons(device handle, unsigned long long *reasons) {
    (void)handle; UNLESS_REFUSED;
    *reasons = 0x4;
    return SUCCESS;
}

result nvmlDeviceGetMigMode(device handle, unsigned int *current, unsigned int *pending) {
    UNLESS_REFUSED;
    if ((size_t)handle != 1) return NOT_SUPPORTED; /* no T4 has it, and no slice is asked */
    *current = *pending = number("STUB_MIG", 0);
    return SUCCESS;
}

result nvmlDeviceIsMigDeviceHandle(device handle, unsigned int *is_slice) {
    UNLESS_REFUSED;
    *is_slice = (size_t)handle == 3;
    return SUCCESS;
}

result nvmlDeviceGetComputeRunningProcesses_v3(device handle, unsigned int *count, process *processes) {
    UNLESS_REFUSED;
    unsigned int room = *count, here = 0;
    const char *text = (size_t)handle == 2 ? NULL : getenv("STUB_PROCESSES");
    for (; text && *text; text = strchr(text, ' ') ? strchr(text, ' ') + 1 : NULL, here++) {
        if (here >= room || !processes) continue;
        const char *bytes = strchr(text, ':') + 1;
        processes[here].pid = (unsigned int)strtoul(text, NULL, 10);
        processes[here].usedGpuMemory = *bytes == '?' ? ~0ull : strtoull(bytes, NULL, 10);
        processes[here].gpuInstanceId = processes[here].computeInstanceId = ~0u;
    }
    *count = here;
    return here > room ? INSUFFICIENT_SIZE : SUCCESS;
}
