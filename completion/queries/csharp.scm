(class_declaration name: (_) @name body: (_)? @body) @definition.class
(struct_declaration name: (_) @name body: (_)? @body) @definition.struct
(record_declaration name: (_) @name body: (_)? @body) @definition.class
(interface_declaration name: (_) @name body: (_)? @body) @definition.interface
(enum_declaration name: (_) @name body: (_) @body) @definition.enum
(enum_member_declaration name: (_) @name) @definition.constant
(delegate_declaration name: (_) @name) @definition.type
(namespace_declaration name: (_) @name body: (_) @body) @definition.module
(method_declaration name: (_) @name body: (_)? @body) @definition.function
(constructor_declaration name: (_) @name body: (_) @body) @definition.function
(local_function_statement name: (_) @name body: (_) @body) @definition.function
(property_declaration name: (_) @name) @definition.field
(record_declaration (parameter_list (parameter name: (_) @name) @definition.field))
(field_declaration (variable_declaration (variable_declarator name: (_) @name))) @definition.field
(event_field_declaration (variable_declaration (variable_declarator name: (_) @name)))
  @definition.field

(using_directive !name [(identifier) (qualified_name)] @module (#set! imported "*")) @import
(using_directive name: (_) @alias "=" (_) @path) @import
