/**
 * The transcoder of KTX2 textures, changed so that it runs under a policy without `unsafe-eval`.
 *
 * Its JavaScript is what Emscripten makes: for each function that C++ and JavaScript call of one another, it puts a function together as text
 * and has it compiled. Emscripten can do without (`-sDYNAMIC_EXECUTION=0`) and then has the two functions below in their place; the package
 * ships the other build. They go by the names that the build uses inside.
 */

const WITHOUT_TEXT = `
function craftInvokerFunction(humanName, argTypes, classType, cppInvokerFunc, cppTargetFunc) {
  const isMethod = argTypes[1] !== null && classType !== null;
  const needsStack = usesDestructorStack(argTypes);
  return createNamedFunction(humanName, function (...given) {
    if (given.length !== argTypes.length - 2) {
      throwBindingError('function ' + humanName + ' called with ' + given.length + ' arguments, expected ' + (argTypes.length - 2));
    }
    const destructors = needsStack ? [] : null;
    const wired = given.map((value, index) => argTypes[index + 2].toWireType(destructors, value));
    if (isMethod) wired.unshift(argTypes[1].toWireType(destructors, this));
    const result = cppInvokerFunc(cppTargetFunc, ...wired);
    if (needsStack) {
      runDestructors(destructors);
    } else {
      argTypes.slice(isMethod ? 1 : 2).forEach((type, index) => {
        if (type.destructorFunction !== null) type.destructorFunction(wired[index]);
      });
    }
    return argTypes[0].name === 'void' ? undefined : argTypes[0].fromWireType(result);
  });
}
function methodCaller(argCount, argTypes, kind) {
  const [returned, ...types] = emval_lookupTypes(argCount, argTypes);
  return emval_addMethodCaller((object, func, destructors, args) => {
    let offset = 0;
    const values = types.map((type) => {
      const value = type.readValueFromPointer(args + offset);
      offset += type.argPackAdvance;
      return value;
    });
    const result = kind === 1 ? Reflect.construct(func, values) : func.apply(kind === 0 ? object : undefined, values);
    return returned.isVoid ? undefined : emval_returnValue(returned, destructors, result);
  });
}
`;

const REPLACED: readonly (readonly [from: string, to: string])[] = [
  ['function craftInvokerFunction(', `${WITHOUT_TEXT}function compiledInvokerFunction(`],
  ['var __emval_get_method_caller=(', 'var __emval_get_method_caller=methodCaller;var compiledMethodCaller=('],
];

/** @throws Error where the package ships another build, for which this must be looked at again */
export function withoutDynamicCode(script: string): string {
  return REPLACED.reduce((text, [from, to]) => {
    if (text.split(from).length !== 2) {
      throw new Error(`the transcoder of textures is another one than expected: “${from}” is not in it once`);
    }
    return text.replace(from, () => to);
  }, script);
}
