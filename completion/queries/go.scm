(type_declaration (type_spec name: (_) @name
  type: (struct_type (field_declaration_list) @body)) @definition.struct)
(type_declaration (type_spec name: (_) @name type: (interface_type . "interface" . "{" @body))
  @definition.interface)
(type_declaration (type_spec name: (_) @name) @definition.type)
(type_declaration (type_alias name: (_) @name) @definition.type)
(struct_type (field_declaration_list (field_declaration name: (_) @name) @definition.field))
(interface_type (method_elem name: (_) @name) @definition.function)

(function_declaration name: (_) @name body: (_) @body) @definition.function
(method_declaration
  receiver: (parameter_list (parameter_declaration type: [
    (type_identifier) @owner
    (generic_type type: (type_identifier) @owner)
    (pointer_type (type_identifier) @owner)
    (pointer_type (generic_type type: (type_identifier) @owner))]))
  name: (_) @name body: (_) @body) @definition.function

(source_file (const_declaration (const_spec name: (identifier) @name) @definition.constant))
(source_file (var_declaration (var_spec name: (identifier) @name) @definition.constant))
(source_file (var_declaration
  (var_spec_list (var_spec name: (identifier) @name) @definition.constant)))

(import_spec !name path: (_ (_) @module)) @import
(import_spec name: (package_identifier) @alias path: (_ (_) @module)) @import
(import_spec name: (dot) @imported path: (_ (_) @module)) @import
(import_spec name: (blank_identifier) @alias path: (_ (_) @module)) @import

(type_declaration . [(type_spec) (type_alias)] @inner .) @outer
(const_declaration . (const_spec) @inner .) @outer
(var_declaration . (var_spec) @inner .) @outer
