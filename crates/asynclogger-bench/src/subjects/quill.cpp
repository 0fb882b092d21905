// Quill with its defaults, for callers in Rust. No exception leaves these functions.
#include <string_view>

#include "quill/Backend.h"
#include "quill/Frontend.h"
#include "quill/LogMacros.h"
#include "quill/Logger.h"
#include "quill/sinks/FileSink.h"

namespace {
quill::Logger* logger = nullptr;
}

extern "C" bool quill_open(const char* path) {
  try {
    quill::Backend::start();
    quill::FileSinkConfig config;
    config.set_open_mode('w');
    auto sink = quill::Frontend::create_or_get_sink<quill::FileSink>(path, config);
    logger = quill::Frontend::create_or_get_logger("bench", std::move(sink),
                                                   quill::PatternFormatterOptions{"%(message)"});
    return true;
  } catch (...) {
    return false;
  }
}

extern "C" bool quill_log(const char* text, size_t length) {
  try {
    LOG_INFO(logger, "{}", (std::string_view{text, length}));
    return true;
  } catch (...) {
    return false;
  }
}

extern "C" bool quill_end() {
  try {
    logger->flush_log();
    quill::Backend::stop();
    return true;
  } catch (...) {
    return false;
  }
}
