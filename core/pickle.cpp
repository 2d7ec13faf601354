#include "core/pickle.h"

#include <cstring>

#include "core/error.h"
#include "core/pickle_names.h"
#include "core/text.h"

namespace linea {

namespace {

using Kind = PickleValue::Kind;
using Role = PickleRole;

constexpr size_t kMaxBytes = size_t{64} << 20;
constexpr size_t kMaxValues = 4'000'000;  // a tensor takes about fifteen
constexpr size_t kMaxDepth = 1000;
constexpr size_t kMaxText = size_t{1} << 20;

}  // namespace

// The stack machine. It never recurses: values refer to each other by address and live until the end.
class PickleReader {
 public:
  PickleReader(Pickle& result, std::span<const std::byte> bytes, const std::string& file)
      : values_(result.values_), bytes_(reinterpret_cast<const char*>(bytes.data()), bytes.size()), file_(file) {}

  const PickleValue* run() {
    if (bytes_.size() > kMaxBytes) fail("its pickle has " + std::to_string(bytes_.size()) + " bytes, at most " + std::to_string(kMaxBytes));
    while (true) {
      const uint8_t opcode = get<uint8_t>();
      ++operations_;
      if (opcode == '.') break;
      execute(opcode);
    }
    return pop();
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::kModel, file_ + ": " + what); }
  [[noreturn]] void damaged(const std::string& what) const { fail("damaged pickle: " + what + " before byte " + std::to_string(at_)); }

  // ---- Input ----

  std::string_view take(size_t count) {
    if (count > bytes_.size() - at_) damaged("it ends");
    const std::string_view result = bytes_.substr(at_, count);
    at_ += count;
    return result;
  }
  template <class T> T get() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view line() {
    const size_t end = bytes_.substr(at_, kMaxText).find('\n');
    if (end == std::string_view::npos) damaged("a name without end");
    const std::string_view result = take(end);
    ++at_;
    return result;
  }

  // ---- Stack ----

  PickleValue& create(Kind kind) {
    if (values_.size() >= kMaxValues) fail("its pickle holds more than " + std::to_string(kMaxValues) + " values");
    PickleValue& value = values_.emplace_back();
    value.kind = kind;
    return value;
  }
  PickleValue& push(Kind kind) {
    PickleValue& value = create(kind);
    stack_.push_back(&value);
    return value;
  }
  void push_integer(int64_t integer) { push(Kind::kInteger).integer = integer; }
  void push_text(size_t bytes) {
    if (bytes > kMaxText) damaged("a text of " + std::to_string(bytes) + " bytes");
    push(Kind::kText).text = take(bytes);
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleValue* pop() {
    if (stack_.size() <= floor()) damaged("nothing on the stack");
    PickleValue* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  void push_mark() {
    if (marks_.size() >= kMaxDepth) fail("its pickle is nested more than " + std::to_string(kMaxDepth) + " deep");
    marks_.push_back(stack_.size());
  }
  size_t pop_mark() {
    if (marks_.empty()) damaged("no mark");
    const size_t mark = marks_.back();
    marks_.pop_back();
    return mark;
  }

  // The values above `begin` leave the stack for `owner`.
  void move_items(PickleValue& owner, size_t begin) {
    owner.items.insert(owner.items.end(), stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
  }
  void push_tuple(size_t begin) {
    if (begin > stack_.size() || begin < floor()) damaged("too little on the stack");
    PickleValue& tuple = create(Kind::kTuple);
    move_items(tuple, begin);
    stack_.push_back(&tuple);
  }
  void add_items(Kind kind, size_t begin) {
    if (begin < floor() + 1 || begin > stack_.size()) damaged("too little on the stack");
    PickleValue& owner = *stack_[begin - 1];
    const bool pairs = kind == Kind::kDict;
    if (owner.kind != kind || (pairs && (stack_.size() - begin) % 2 != 0)) damaged("the wrong thing on the stack");
    move_items(owner, begin);
  }

  // An index can be no larger than the number of operations that could have used one: the memo stays as small as the pickle.
  void put(size_t index) {
    if (stack_.size() <= floor() || index > operations_) damaged("a memo index out of range");
    if (index >= memo_.size()) memo_.resize(index + 1);
    memo_[index] = stack_.back();
  }
  void get_memo(size_t index) {
    if (index >= memo_.size() || !memo_[index]) damaged("an unknown memo index");
    if (stack_.size() >= kMaxValues) fail("its pickle holds more than " + std::to_string(kMaxValues) + " values");
    stack_.push_back(memo_[index]);
  }

  // ---- Operations ----

  void execute(uint8_t opcode) {
    switch (opcode) {
      case 0x80:  // PROTO
        if (const int protocol = get<uint8_t>(); protocol < 2 || protocol > 4)
          fail("pickle protocol " + std::to_string(protocol) + " is not supported");
        return;
      case 'c': return global();
      case '}': push(Kind::kDict); return;
      case ']': push(Kind::kList); return;
      case ')': push(Kind::kTuple); return;
      case '(': return push_mark();
      case 'X': return push_text(get<uint32_t>());
      case 0x8c:
      case 'U': return push_text(get<uint8_t>());
      case 'T': return push_text(get<uint32_t>());
      case 'K': return push_integer(get<uint8_t>());
      case 'M': return push_integer(get<uint16_t>());
      case 'J': return push_integer(get<int32_t>());
      case 0x8a: return long_integer();
      case 'G':
        take(8);
        push(Kind::kNumber);
        return;
      case 0x88:
      case 0x89:
      case 'N': push(Kind::kNone); return;  // True and False are of no use here
      case 0x85: return push_tuple(checked_below(1));
      case 0x86: return push_tuple(checked_below(2));
      case 0x87: return push_tuple(checked_below(3));
      case 't': return push_tuple(pop_mark());
      case 'q': return put(get<uint8_t>());
      case 'r': return put(get<uint32_t>());
      case 'h': return get_memo(get<uint8_t>());
      case 'j': return get_memo(get<uint32_t>());
      case 'u': return add_items(Kind::kDict, pop_mark());
      case 's': return add_items(Kind::kDict, checked_below(2));
      case 'e': return add_items(Kind::kList, pop_mark());
      case 'a': return add_items(Kind::kList, checked_below(1));
      case 'Q': return storage();
      case 'R':
      case 0x81: return reduce();
      case 'b': return build();
      default: refuse(opcode);
    }
  }

  size_t checked_below(size_t count) const {
    if (stack_.size() < floor() + count) damaged("too little on the stack");
    return stack_.size() - count;
  }

  [[noreturn]] void refuse(uint8_t opcode) const {
    constexpr char kHex[] = "0123456789abcdef";
    std::string name = "unknown";
    for (const PickleOpcode& known : kRefusedOpcodes) {
      if (known.code == opcode) name = known.name;
    }
    fail("its pickle uses the opcode " + name + " (0x" + kHex[opcode >> 4] + kHex[opcode & 15] + ") at byte " + std::to_string(at_ - 1) +
         ", which saving tensors does not need; refused");
  }

  void global() {
    const std::string_view module = line(), name = line();
    for (const PickleSymbol& symbol : kPickleSymbols) {
      if (symbol.module == module && symbol.name == name) {
        push(Kind::kSymbol).symbol = &symbol;
        return;
      }
    }
    fail("contains " + printable(module, 80) + "." + printable(name, 80) + ", which is not a tensor type; refused");
  }

  void long_integer() {
    const size_t count = get<uint8_t>();
    if (count > 8) damaged("an integer of " + std::to_string(count) + " bytes");
    const std::string_view digits = take(count);
    uint64_t value = count && (digits.back() & 0x80) ? ~uint64_t{0} : 0;
    for (size_t i = count; i-- > 0;) value = value << 8 | static_cast<uint8_t>(digits[i]);
    push_integer(static_cast<int64_t>(value));
  }

  // ("storage", class, key, device, number of elements) -> a reference to the archive's member data/<key>.
  void storage() {
    const PickleValue& id = *pop();
    const auto is = [&](size_t i, Kind kind) { return id.items[i]->kind == kind; };
    if (id.kind != Kind::kTuple || id.items.size() != 5 || !is(0, Kind::kText) || id.items[0]->text != "storage" || !is(1, Kind::kSymbol) ||
        !is(2, Kind::kText) || !is(4, Kind::kInteger)) {
      damaged("a storage that is not described as one");
    }
    const PickleSymbol& type = *id.items[1]->symbol;
    if (type.role != Role::kStorage && type.role != Role::kUntypedStorage) damaged("a storage of no storage type");
    const std::string_view key = id.items[2]->text;
    const int64_t elements = id.items[4]->integer;
    PickleValue& result = push(Kind::kStorage);
    result.dtype = type.dtype;
    result.text = key;
    result.integer = elements;
    result.symbol = &type;
  }

  void reduce() {
    const PickleValue& arguments = *pop();
    const PickleValue& callable = *pop();
    if (callable.kind != Kind::kSymbol || arguments.kind != Kind::kTuple) damaged("a call of something that is not a name");
    const PickleSymbol& symbol = *callable.symbol;
    switch (symbol.role) {
      case Role::kDict: return ordered_dict(arguments);
      case Role::kTuple:
        if (arguments.items.size() != 1 || arguments.items[0]->kind != Kind::kTuple) damaged("a torch.Size of no tuple");
        stack_.push_back(const_cast<PickleValue*>(arguments.items[0]));
        return;
      case Role::kOther: push(Kind::kOther); return;
      case Role::kRebuild:
      case Role::kRebuildTyped: return tensor(symbol, arguments);
      case Role::kParameter:
        if (arguments.items.empty() || arguments.items[0]->kind != Kind::kTensor) damaged("a parameter without tensor");
        stack_.push_back(const_cast<PickleValue*>(arguments.items[0]));
        return;
      case Role::kStorage:
      case Role::kUntypedStorage:
      case Role::kDType: break;
    }
    fail("its pickle calls " + std::string(symbol.module) + "." + std::string(symbol.name) + "; refused");
  }

  // Items come by SETITEMS later; Python also allows a list of pairs, which torch.save does not write.
  void ordered_dict(const PickleValue& arguments) {
    if (!arguments.items.empty()) fail("its pickle calls collections.OrderedDict with arguments; refused");
    push(Kind::kDict);
  }

  // (storage, first element, size, stride, requires_grad, hooks[, dtype]): only the typed form has a dtype, over a storage of bytes.
  void tensor(const PickleSymbol& symbol, const PickleValue& arguments) {
    const auto& items = arguments.items;
    const bool typed = symbol.role == Role::kRebuildTyped;
    if (items.size() < (typed ? 7u : 4u) || items[0]->kind != Kind::kStorage || items[1]->kind != Kind::kInteger ||
        items[2]->kind != Kind::kTuple || items[3]->kind != Kind::kTuple || items[2]->items.size() != items[3]->items.size()) {
      damaged("a tensor that is not described as one");
    }
    for (const PickleValue* tuple : {items[2], items[3]}) {
      for (const PickleValue* item : tuple->items) {
        if (item->kind != Kind::kInteger) damaged("a shape that is not made of integers");
      }
    }
    DType dtype = items[0]->dtype;
    if (typed) {
      if (items[6]->kind != Kind::kSymbol || items[6]->symbol->role != Role::kDType) damaged("a tensor of no type");
      dtype = items[6]->symbol->dtype;
    }
    if (typed != (items[0]->symbol->role == Role::kUntypedStorage)) damaged("a tensor whose storage is of another kind");
    PickleValue& result = push(Kind::kTensor);
    result.dtype = dtype;
    result.integer = items[1]->integer;
    result.items = {items[0], items[2], items[3]};
  }

  // Attributes of an OrderedDict (_metadata) or a parameter: of no use here.
  void build() {
    pop();
    const Kind kind = stack_.size() > floor() ? stack_.back()->kind : Kind::kNone;
    if (kind != Kind::kDict && kind != Kind::kTensor) damaged("attributes of something that has none");
  }

  std::deque<PickleValue>& values_;
  std::string_view bytes_;
  const std::string& file_;
  size_t at_ = 0, operations_ = 0;
  std::vector<PickleValue*> stack_, memo_;
  std::vector<size_t> marks_;
};

Pickle::Pickle(std::span<const std::byte> bytes, const std::string& file) { root_ = PickleReader(*this, bytes, file).run(); }

}  // namespace linea
