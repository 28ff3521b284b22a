// What Stan's services write, into text files.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_WRITERS_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_WRITERS_HPP

#include "text_file.hpp"

#include <stan/callbacks/structured_writer.hpp>
#include <stan/callbacks/writer.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace pyrobma {

// A Stan CSV file: names, rows of numbers, comments.
class CsvWriter final : public stan::callbacks::writer {
 public:
  explicit CsvWriter(TextFile& file) : file_(file) {}

  void operator()(const std::vector<std::string>& names) override {
    has_header_ = true;
    write_row(names);
  }

  void operator()(const std::vector<double>& values) override {
    ++num_rows_;
    last_lp_ = values.empty() ? NAN : values.front();
    write_row(values);
  }

  void operator()() override { (*this)(std::string()); }

  void operator()(const std::string& comment) override {
    file_.append("# ");
    file_.append(comment);
    file_.end_line();
  }

  bool has_header() const { return has_header_; }
  long long num_rows() const { return num_rows_; }
  double last_lp() const { return last_lp_; }  // of the last row

 private:
  template <typename Item>
  void write_row(const std::vector<Item>& items) {
    if (items.empty()) return;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) file_.append(',');
      file_.append(items[i]);
    }
    file_.end_line();
  }

  TextFile& file_;
  bool has_header_ = false;
  long long num_rows_ = 0;
  double last_lp_ = NAN;
};

// The step size and the inverse metric that the warmup ends with, as a JSON object of
// CmdStan's shape: one row of a dense metric after the other.
class MetricWriter final : public stan::callbacks::structured_writer {
 public:
  explicit MetricWriter(TextFile& file) : file_(file) {}

  using structured_writer::begin_record;
  using structured_writer::write;

  void begin_record() override { file_.append("{"); }

  void end_record() override {
    file_.end_line();
    file_.append("}");
    file_.end_line();
  }

  void write(const std::string& key, double value) override {
    begin_member(key);
    file_.append(value);
  }

  void write(const std::string& key, const std::string& value) override {
    begin_member(key);
    file_.append("\"" + value + "\"");
  }

  void write(const std::string& key, const char* value) override {
    write(key, std::string(value));
  }

  void write(const std::string& key, const Eigen::VectorXd& values) override {
    begin_member(key);
    write_list(values);
  }

  void write(const std::string& key, const Eigen::MatrixXd& rows) override {
    begin_member(key);
    file_.append("[");
    for (Eigen::Index i = 0; i < rows.rows(); ++i) {
      if (i > 0) file_.append(", ");
      write_list(rows.row(i).transpose());
    }
    file_.append("]");
  }

 private:
  void begin_member(const std::string& key) {
    if (has_member_) file_.append(",");
    has_member_ = true;
    file_.end_line();
    file_.append("  \"" + key + "\": ");
  }

  void write_list(const Eigen::VectorXd& values) {
    file_.append("[");
    for (Eigen::Index i = 0; i < values.size(); ++i) {
      if (i > 0) file_.append(", ");
      file_.append(values[i]);
    }
    file_.append("]");
  }

  TextFile& file_;
  bool has_member_ = false;
};

}  // namespace pyrobma

#endif
